import type { DataSource, EntityManager } from 'typeorm';
import type { Deadline } from './deadline.js';
import { enterScope, type Scope, translateError } from './postgres.js';

/**
 * TypeORM work in one transaction that names its tenants, as row-level security demands. On the deadline the caller is told;
 * PostgreSQL ends the statement itself a moment later.
 */
export async function withEntities<T>(
  source: DataSource,
  scope: Scope,
  deadline: Deadline,
  work: (manager: EntityManager) => Promise<T>,
): Promise<T> {
  const done = source.transaction(async (manager) => {
    const { text, values } = enterScope(scope, deadline);
    await manager.query(text, values);
    return work(manager);
  });
  try {
    return await deadline.race(done);
  } catch (error) {
    const cause = (error as { driverError?: unknown }).driverError;
    throw translateError(cause ?? error);
  }
}
