/** The API, which tells on CHARGES_PORT what it has charged so far: for the benchmark alone. */
import { createServer } from 'node:http';
import { Limits } from '#limits/limits.js';

const charged = { requests: 0, units: 0, refused: 0 };

const open = Limits.open.bind(Limits);
Limits.open = (...given) => {
  const limits = open(...given);
  limits.onCharged(({ actual, refused }) => {
    charged.requests += 1;
    charged.units += actual;
    if (refused) charged.refused += 1;
  });
  return limits;
};
createServer((_request, response) => response.end(JSON.stringify(charged))).listen(
  Number(process.env.CHARGES_PORT),
  '127.0.0.1',
);
await import('../apps/api/src/main.js');
