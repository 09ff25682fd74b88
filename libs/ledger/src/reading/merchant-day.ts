/**
 * SQL: the zone that a merchant is in at a moment. `merchant` is a row of `merchants`, `at` a timestamptz; in the merchant's scope.
 */
export function zoneOf(merchant: string, at: string): string {
  return `coalesce((SELECT z.time_zone FROM merchant_time_zones z WHERE z.merchant_id = ${merchant}.id AND z.from_at <= ${at}
                     ORDER BY z.from_at DESC LIMIT 1), ${merchant}.time_zone)`;
}

/** SQL: the calendar day of a moment where the merchant then is. */
export function merchantDay(merchant: string, at: string): string {
  return `(${at} AT TIME ZONE ${zoneOf(merchant, at)})::date`;
}
