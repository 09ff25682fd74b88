// For npm's postinstall: brings Redis along with the dependencies, so that the first start works offline. Never fails.
import { findRedis } from './services/redis-binaries.mjs';

try {
  if (!(process.env.REDIS_URL && process.env.REDIS_QUEUE_URL)) await findRedis();
} catch (error) {
  console.log(`counterfoil: ${/** @type {Error} */ (error).message}`);
}
