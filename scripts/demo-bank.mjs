// The bank of `npm start`, unless BANK_URL names another: apps/bank-simulator. It remembers in the data folder what it was told.
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { root } from './compile.mjs';
import { Child } from './services/child.mjs';

const READY_WITHIN_MS = 20_000;

/**
 * Starts beside API and worker, and ends with its supervisor.
 * @param {import('./services/supervise.mjs').Keep} keep @param {string} folder
 */
export async function startBank(keep, folder) {
  const { PATH, BANK_DELAY_MS, BANK_RETURN_DELAY_MS } = process.env;
  const secret = process.env.BANK_SECRET || `whsec_${randomBytes(32).toString('base64')}`;
  const state = join(folder, 'bank.jsonl');
  const env = { PATH, BANK_DELAY_MS, BANK_RETURN_DELAY_MS, BANK_SECRET: secret, BANK_STATE: state };
  const child = keep(Child.node('the bank simulator', ['dist/apps/bank-simulator/src/main.js'], { cwd: root, env }));
  const { listening: url } = await child.firstWord(READY_WITHIN_MS);
  return {
    ended: child.ended,
    env: { BANK_URL: url, BANK_SECRET: secret },
    /** From now on it calls back there. @param {string} callback */
    callBack: (callback) => child.process.send({ callback }),
  };
}
