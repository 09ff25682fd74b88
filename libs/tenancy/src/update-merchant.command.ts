import { Command, CommandHandler, type ICommandHandler } from '@nestjs/cqrs';
import { invalid, notFound } from '#kernel/problem.js';
import { Entities } from '#platform/entities.js';
import { Database, type TransactionClient } from '#platform/postgres.js';
import type { RequestBounds } from '#platform/request-context.js';
import { beginCalendar, lockCalendar } from '#settlement/due-days.js';
import { Merchant } from './merchant.entity.js';
import {
  insertZone,
  isOverInZoneBefore,
  lockMerchant,
  planZone,
  supersedeZones,
  type ZoneFrom,
} from './merchant-zone-store.js';
import { TimeZones } from './time-zones.js';

export interface MerchantChanges {
  name: string | undefined;
  /** IANA name. */
  timeZone: string | undefined;
  /** `YYYY-MM-DD`, the first day in `timeZone`; undefined: the merchant's next day. */
  timeZoneFrom: string | undefined;
}

/** Renames a merchant at once, or moves it to another time zone from a day on that has not begun. Throws `not_found`, `validation_failed`. */
export class UpdateMerchantCommand extends Command<void> {
  constructor(
    readonly context: RequestBounds,
    readonly merchantId: bigint,
    readonly changes: MerchantChanges,
  ) {
    super();
  }
}

@CommandHandler(UpdateMerchantCommand)
export class UpdateMerchantHandler implements ICommandHandler<UpdateMerchantCommand> {
  constructor(
    private readonly database: Database,
    private readonly zones: TimeZones,
    private readonly entities: Entities,
  ) {}

  async execute({ context: { deadline }, merchantId, changes }: UpdateMerchantCommand): Promise<void> {
    const { name, timeZone, timeZoneFrom } = changes;
    if (timeZone !== undefined) await this.zones.check(timeZone, deadline);
    // Before the transaction: it holds a connection, and a question to PostgreSQL needs another.
    await this.zones.load(deadline);
    await this.database.transaction({ merchantIds: [merchantId] }, deadline, async (client) => {
      await lockCalendar(client, merchantId);
      const present = await lockMerchant(client, merchantId);
      if (present === undefined) throw notFound('merchant');
      if (name !== undefined) await this.entities.in(client).update(Merchant, { id: merchantId }, { name });
      if (timeZone === undefined) return;
      const from = this.zones.isReckonable(present)
        ? await firstDay(client, merchantId, timeZone, timeZoneFrom)
        : fromTheBeginning(present, timeZoneFrom);
      await changeZone(client, merchantId, { timeZone, from });
      await beginCalendar(client, merchantId);
    });
  }
}

async function firstDay(
  client: TransactionClient,
  merchantId: bigint,
  timeZone: string,
  from: string | undefined,
): Promise<string> {
  const { day, too_soon } = await planZone(client, merchantId, timeZone, from);
  if (too_soon)
    throw invalid('time_zone_from', `must be a day that has not begun in ${timeZone}, nor begins within minutes`);
  return day;
}

/** Only what is left after it has superseded the others can be the zone before. */
async function changeZone(client: TransactionClient, merchantId: bigint, first: ZoneFrom): Promise<void> {
  await supersedeZones(client, merchantId, first);
  if (first.from !== null && (await isOverInZoneBefore(client, merchantId, first))) {
    throw invalid(
      'time_zone',
      `${first.from} begins there when it is over in the zone before; go by a zone that lies between`,
    );
  }
  await insertZone(client, merchantId, first);
}

/** Where PostgreSQL does not know the present zone, no day of the merchant's has ever been reckoned: the new one is for all. */
function fromTheBeginning(present: string, from: string | undefined): ZoneFrom['from'] {
  if (from === undefined) return null;
  throw invalid(
    'time_zone_from',
    `must be left out: no day can be reckoned in ${present}, and the new zone is for all days`,
  );
}
