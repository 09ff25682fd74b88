import type { AddressInfo } from 'node:net';
import { z } from 'zod';
import { COURIER_DEFAULTS } from '../../simulators/courier.js';
import { Bank } from './bank.js';
import { BankServer } from './server.js';

/**
 * A bank to pay merchants with: `npm start` and docker-compose.yml run it. On loopback, unless BANK_HOST says otherwise.
 *
 *     BANK_SECRET=whsec_… node dist/apps/bank-simulator/src/main.js
 *
 * Who started it as a child may say later where it calls back: `{ callback: URL }`.
 */
const ms = z.coerce.number().int().min(0);
const { BANK_HOST, BANK_PORT, BANK_SECRET, BANK_CALLBACK, BANK_STATE, BANK_DELAY_MS, BANK_RETURN_DELAY_MS } = z
  .object({
    BANK_HOST: z.string().min(1).default('127.0.0.1'),
    /** 0: any that is free. */
    BANK_PORT: z.coerce.number().int().min(0).max(65_535).default(0),
    /** What its customer proves itself with, and what it signs its callbacks with. */
    BANK_SECRET: z.string().startsWith('whsec_'),
    BANK_CALLBACK: z.url().optional(),
    /** A file, so that a restart forgets nothing. */
    BANK_STATE: z.string().min(1).optional(),
    BANK_DELAY_MS: ms.default(5_000),
    BANK_RETURN_DELAY_MS: ms.default(10_000),
  })
  .parse(process.env);

const bank = new Bank({
  delays: { delayMs: BANK_DELAY_MS, returnDelayMs: BANK_RETURN_DELAY_MS },
  courier: COURIER_DEFAULTS,
  file: BANK_STATE,
});
const tellTo = (url: string): void => bank.tellTo({ url, secret: BANK_SECRET });
if (BANK_CALLBACK) tellTo(BANK_CALLBACK);

const server = new BankServer(bank, BANK_SECRET);
server.http.listen(BANK_PORT, BANK_HOST, () => {
  const { port } = server.http.address() as AddressInfo;
  const listening = `http://${BANK_HOST}:${port}`;
  if (process.send) process.send({ listening });
  else console.error(`bank simulator: ${listening}`);
});

function end(): void {
  bank.stop();
  server.stop();
  if (process.connected) process.disconnect();
}
process.on('message', ({ callback }: { callback?: string }) => callback && tellTo(callback));
for (const signal of ['SIGINT', 'SIGTERM', 'disconnect'] as const) process.once(signal, end);
