import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { type Dice, now } from './history.js';

const NOISE_KEYS = 4_000;
const NOISE = 'x'.repeat(400);
const ROLE_MAXMEMORY = '128mb';

/** Little memory and much noise: some balances are evicted, some fences refused. */
export async function memoryStorm(admin: Redis, dice: Dice, forMs: number): Promise<void> {
  const used = Number(/used_memory:(\d+)/.exec(await admin.info('memory'))?.[1]);
  await admin.config('SET', 'maxmemory', String(used + 300_000));
  const end = now() + forMs;
  for (let round = 0; now() < end; round += 1) {
    await makeNoise(admin, dice, round);
    if (round % 8 === 7) {
      await sleep(dice.between(20, 150));
      await clearNoise(admin);
    }
    await sleep(5);
  }
  await admin.config('SET', 'maxmemory', ROLE_MAXMEMORY);
  await clearNoise(admin);
}

/** In turns: noise that can be evicted, and noise that cannot. */
async function makeNoise(admin: Redis, dice: Dice, round: number): Promise<void> {
  const lasting = round % 8 >= 4;
  const pipeline = admin.pipeline();
  for (let count = 0; count < 100; count += 1) {
    const key = `noise:${lasting ? 'stays' : 'goes'}:${dice.below(NOISE_KEYS)}`;
    if (lasting) pipeline.set(key, NOISE);
    else pipeline.set(key, NOISE, 'PX', 60_000);
  }
  await pipeline.exec();
}

async function clearNoise(admin: Redis): Promise<void> {
  for await (const keys of admin.scanStream({ match: 'noise:*', count: 1_000 })) {
    if (keys.length > 0) await admin.unlink(...keys);
  }
}
