// Preloaded into every process of a run (NODE_OPTIONS): what can only be done from inside. On SIGUSR2 it reads HARM_FILE:
// `{"blockMs": n}` keeps the event loop busy, `{"clockMs": n}` sets the clock so far ahead (or back) from then on.
import { readFileSync } from 'node:fs';
import { isMainThread } from 'node:worker_threads';

const { HARM_FILE } = process.env;
if (HARM_FILE && isMainThread) {
  const Real = Date;
  const realNow = Date.now;
  let aheadMs = 0;
  Date.now = () => realNow() + aheadMs;
  globalThis.Date = new Proxy(Real, {
    construct: (of, given, as) => Reflect.construct(of, given.length === 0 ? [realNow() + aheadMs] : given, as),
  });
  process.on('SIGUSR2', () => {
    const { blockMs = 0, clockMs = aheadMs } = JSON.parse(readFileSync(HARM_FILE, 'utf8'));
    aheadMs = clockMs;
    const end = performance.now() + blockMs;
    while (performance.now() < end);
  });
}
