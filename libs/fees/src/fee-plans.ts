import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { among } from '#platform/columns.js';
import type { Deadline } from '#platform/deadline.js';
import { Entities } from '#platform/entities.js';
import { Database } from '#platform/postgres.js';
import { FeePlanAssignment, FeePlanVersionRow } from './fee-plan.entity.js';
import type { FeePlanSpan } from './fee-plan.js';
import { feePlanSpans } from './spans.js';

/** What merchants are charged by, for whoever charges. */
@Injectable()
export class FeePlans {
  constructor(
    private readonly database: Database,
    private readonly entities: Entities,
  ) {}

  /**
   * When which version of which plan counts for each merchant: all of time, oldest first. A version that counts for several is one
   * object. Needs a connection of its own: not to be asked within a transaction.
   */
  async spansOf(merchantIds: readonly bigint[], deadline: Deadline): Promise<Map<bigint, FeePlanSpan[]>> {
    return this.database.transaction({ merchantIds }, deadline, async (client) => {
      const manager = this.entities.in(client);
      const assignments = await assignmentsOf(manager, merchantIds);
      const versions = await versionsOf(manager, new Set(assignments.map(({ planId }) => planId)));
      const byMerchant = Map.groupBy(assignments, ({ merchantId }) => merchantId);
      return new Map(merchantIds.map((id) => [id, feePlanSpans(byMerchant.get(id) ?? [], versions)]));
    });
  }
}

function assignmentsOf(manager: EntityManager, merchantIds: readonly bigint[]): Promise<FeePlanAssignment[]> {
  return manager.find(FeePlanAssignment, { where: { merchantId: among(merchantIds) }, order: { validFromMs: 'ASC' } });
}

async function versionsOf(
  manager: EntityManager,
  planIds: ReadonlySet<bigint>,
): Promise<Map<bigint, FeePlanVersionRow[]>> {
  const where = { planId: among([...planIds]) };
  const versions = await manager.find(FeePlanVersionRow, { where, order: { version: 'ASC' } });
  return Map.groupBy(versions, ({ planId }) => planId);
}
