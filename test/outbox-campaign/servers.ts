import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { migrate } from '#db/migrate.js';
import { runtimeUrlOf } from '#platform/runtime-role.js';
import { startServices } from '../../scripts/services/start-services.mjs';
import type { Build } from '../histories/servers.js';
import { RECORDS } from '../outbox/recorder.js';
import { asAdmin, type TestDatabase } from '../support/database.js';
import { plantRoom } from '../support/plant-room.js';

/**
 * A PostgreSQL server of the campaign's own: a transaction that is held open holds back the log of every database of its
 * server.
 */
export async function privatePostgres(): Promise<TestDatabase> {
  const dataDir = mkdtempSync(join(tmpdir(), 'counterfoil-campaign-'));
  // A given URL keeps its server from being started; nobody connects to these.
  const env = { REDIS_URL: 'redis://unused', REDIS_QUEUE_URL: 'redis://unused' };
  const services = await startServices({ dataDir, env, durable: false });
  const ownerUrl = services.databaseUrl;
  await migrate(ownerUrl);
  await asAdmin(ownerUrl, (owner) => owner.query(RECORDS));
  return {
    ownerUrl,
    runtimeUrl: runtimeUrlOf(ownerUrl),
    drop: async () => {
      await services.stop();
      rmSync(dataDir, { recursive: true, force: true });
    },
  };
}

export const RECORDER = 'recorder';

/** The compiled worker gets one more consumer, which writes down what it is given and in which order. */
export function addRecorder(build: Build): void {
  plantRoom(build, 'outbox/recorder.ts', 'Recorder', `{ consumers: [new PLANTED('${RECORDER}', 'stream')] }`);
}
