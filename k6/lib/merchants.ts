import { nameOf, need } from './client.ts';
import type { Merchant } from './postings.ts';
import { OPERATOR_KEY } from './settings.ts';
import { world } from './world.ts';

/** Merchants of a run's own. */
export interface Opening {
  readonly wallets: number;
  readonly currencies?: readonly string[];
  readonly feePlanId?: string;
  /** Of the wallets; null: none, so that every order of transfers is legal. */
  readonly floor?: string | null;
}

export async function openMerchant(name: string, opening: Opening): Promise<Merchant> {
  const { wallets, currencies = ['EUR'], feePlanId, floor = null } = opening;
  const fee = feePlanId === undefined ? {} : { fee_plan_id: feePlanId };
  const body = { name, time_zone: 'UTC', settlement_cutoff: '00:00', currencies, ...fee };
  const { id, api_key } = await operatorPost<{ id: string; api_key: { secret: string } }>('/v1/merchants', body, 201);
  const merchant = { id, key: api_key.secret };
  for (let n = 0; n < wallets; n += 1) await openWallet(merchant, n, floor);
  return merchant;
}

export function openMerchants(name: string, count: number, opening: Opening): Promise<Merchant[]> {
  const run = Date.now();
  return inOrder(count, (n) => openMerchant(`k6 ${name} ${run}-${n}`, opening));
}

/** One after the other: what prepares a run is no load. */
export async function inOrder<T>(count: number, make: (n: number) => Promise<T>): Promise<T[]> {
  const made: T[] = [];
  for (let n = 0; n < count; n += 1) made.push(await make(n));
  return made;
}

export const wallet = (n: number): string => `wallet:${n}`;

export function openWallet({ key }: Merchant, n: number, floor: string | null = null): Promise<{ id: string }> {
  const body = { code: wallet(n), name: `Wallet ${n}`, currency: 'EUR', normal_side: 'credit', min_available: floor };
  return need(world, { method: 'POST', path: '/v1/accounts', key, name: 'POST /accounts', body }, 201);
}

/** As the operator, who acts for nobody. */
export function operatorGet<T>(path: string): Promise<T> {
  return need<T>(world, { method: 'GET', path, key: OPERATOR_KEY, name: nameOf('GET', path) });
}

/** `status`: that of success. */
export function operatorPost<T>(path: string, body: object, status: number): Promise<T> {
  return need<T>(world, { method: 'POST', path, key: OPERATOR_KEY, name: nameOf('POST', path), body }, status);
}

export async function operatorPut(path: string, body: object): Promise<void> {
  await need(world, { method: 'PUT', path, key: OPERATOR_KEY, name: nameOf('PUT', path), body });
}

/** Two of them, unlike. */
export function twoWallets(count: number): [from: string, to: string] {
  const from = random(count);
  return [wallet(from), wallet((from + 1 + random(count - 1)) % count)];
}

export function random(below: number): number {
  return Math.floor(Math.random() * below);
}
