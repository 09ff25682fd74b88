import { type Books, readBooks } from './books.ts';
import type { World } from './client.ts';
import { type Beside, type Finding, judge } from './judge.ts';
import { type Merchant, type Noted, post, postBatch } from './postings.ts';

/** After the load: what is open is asked for again by its key, and then the books are held against what was told. Without k6. */
export interface Verdict {
  readonly findings: readonly Finding[];
  /** Postings that were acknowledged, by now. */
  readonly acknowledged: number;
  /** Those that only the second asking told of. */
  readonly resolved: number;
  readonly books: Books;
}

export async function verifyMerchant(
  world: World,
  merchant: Merchant,
  noted: readonly Noted[],
  { refusals, ...beside }: Beside & { refusals?: readonly string[] } = {},
): Promise<Verdict> {
  const open = noted.filter(({ outcome }) => outcome === 'open');
  const whole = open.length === 0 ? noted : await resolve(world, merchant, noted, refusals ?? []);
  const books = await readBooks(world, merchant);
  const acknowledged = whole.filter(({ outcome }) => outcome === 'acknowledged').length;
  return { findings: judge(books, whole, beside), acknowledged, resolved: open.length, books };
}

/** The same request with the same key: its answer is that of the first, or it is done now. A batch is asked for whole. */
async function resolve(
  world: World,
  merchant: Merchant,
  noted: readonly Noted[],
  refusals: readonly string[],
): Promise<Noted[]> {
  const resolved: Noted[] = [];
  const batches = new Map<string, Noted[]>();
  for (const posting of noted) {
    const { batch, outcome } = posting;
    if (batch) batches.set(batch.ref, [...(batches.get(batch.ref) ?? []), posting]);
    else resolved.push(outcome === 'open' ? (await post(world, merchant, posting, refusals)).noted : posting);
  }
  for (const batch of batches.values()) {
    const isOpen = batch.some(({ outcome }) => outcome === 'open');
    resolved.push(...(isOpen ? (await postBatch(world, merchant, batch, refusals)).noted : batch));
  }
  return resolved;
}
