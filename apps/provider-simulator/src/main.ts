import { parseArgs } from 'node:util';
import { COURIER_DEFAULTS } from '../../simulators/courier.js';
import { serve } from './server.js';
import { RATES, Simulator } from './simulator.js';

/**
 * A payment service provider to try the ledger with: `npm start` runs it for the demo. On loopback only.
 *
 *     PROVIDER_SIMULATOR_KEY=… node dist/apps/provider-simulator/src/main.js [--port N] [--seed TEXT] [--per-second N] [--copies N] …
 */
const HOST = '127.0.0.1';
const number = { type: 'string' } as const;

const { values } = parseArgs({
  options: {
    port: number,
    seed: number,
    'per-second': number,
    copies: number,
    window: number,
    'late-share': number,
    'late-ms': number,
    echoes: number,
  },
});

function numberOf(name: Exclude<keyof typeof values, 'seed'>, otherwise: number, least = 0): number {
  const value = Number(values[name] ?? otherwise);
  if (!(value >= least)) throw new Error(`--${name} wants a number of at least ${least}`);
  return value;
}

const key = process.env.PROVIDER_SIMULATOR_KEY;
if (!key) throw new Error('PROVIDER_SIMULATOR_KEY is not set');
const simulator = new Simulator(
  values.seed ?? 'counterfoil',
  {
    perSecond: numberOf('per-second', RATES.perSecond, 0.001),
    copies: numberOf('copies', RATES.copies, 1),
    window: numberOf('window', RATES.window),
    lateShare: numberOf('late-share', RATES.lateShare),
    lateMs: numberOf('late-ms', RATES.lateMs),
    echoes: numberOf('echoes', RATES.echoes),
  },
  COURIER_DEFAULTS,
);
const server = serve(simulator, key);
server.listen(numberOf('port', 0), HOST, () => {
  const address = server.address();
  const port = typeof address === 'object' ? address?.port : undefined;
  if (process.send) process.send({ port });
  else console.error(`provider simulator: http://${HOST}:${port}`);
});

function end(): void {
  simulator.stop();
  server.close();
  server.closeAllConnections();
  if (process.connected) process.disconnect();
}
for (const signal of ['SIGINT', 'SIGTERM', 'disconnect'] as const) process.once(signal, end);
