// The receiver of the first demo merchant's webhooks. It lives in the supervisor of `npm start` and ends with it.
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { WebhookReceiver, webhookLine } from './webhook-receiver.mjs';

const PATH = '/counterfoil-demo';
/** Events that are told one by one; after them a count, now and then. */
const TOLD = 8;
const COUNT_EVERY_MS = 1_000;

/**
 * Listening before the worker starts, which may have something for it from the last time.
 * @param {{ folder: string, say: (line: string) => void }} options
 */
export async function openDemoWebhooks({ folder, say }) {
  const file = join(folder, 'webhook-sink.json');
  const last = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : undefined;
  let count = 0;
  /** @type {NodeJS.Timeout | undefined} */
  let counting;
  const tellCount = () => {
    counting = undefined;
    say(`webhooks received so far: ${count} (\`npm run webhook-sink\` shows all of a merchant's as they come)`);
  };
  const receiver = await WebhookReceiver.listen({
    path: PATH,
    last,
    told: (event) => {
      count += 1;
      if (count <= TOLD) say(webhookLine(event));
      else counting ??= setTimeout(tellCount, COUNT_EVERY_MS);
    },
  });
  return {
    /** @param {import('./webhook-receiver.mjs').Call} call */
    async register(call) {
      await receiver.register(call);
      writeFileSync(`${file}.new`, `${JSON.stringify(receiver.endpoint)}\n`, { mode: 0o600 });
      renameSync(`${file}.new`, file);
    },
    stop() {
      clearTimeout(counting);
      receiver.close();
    },
  };
}
