import { Injectable } from '@nestjs/common';
import type { Deadline } from '#platform/deadline.js';
import { Entities } from '#platform/entities.js';
import { Database } from '#platform/postgres.js';
import { assignmentsOf } from './assignments.js';
import type { FeePlanSpan } from './fee-plan.js';
import { feePlanSpans } from './spans.js';
import { versionsOf } from './versions.js';

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
      const versions = await versionsOf(manager, [...new Set(assignments.map(({ planId }) => planId))]);
      const byMerchant = Map.groupBy(assignments, ({ merchantId }) => merchantId);
      return new Map(merchantIds.map((id) => [id, feePlanSpans(byMerchant.get(id) ?? [], versions)]));
    });
  }
}
