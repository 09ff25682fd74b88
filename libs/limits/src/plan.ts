/** What a merchant may spend. */
export interface Plan {
  readonly unitsPerSecond: number;
  /** How many at once, after a while without. */
  readonly burstUnits: number;
  /** Of requests that are being served at one time. */
  readonly unitsInFlight: number;
  /** Its share where merchants wait for their turn: a merchant of weight 2 gets twice what one of 1 gets. */
  readonly weight: number;
}

export function isSamePlan(one: Plan, other: Plan): boolean {
  return (
    one.unitsPerSecond === other.unitsPerSecond &&
    one.burstUnits === other.burstUnits &&
    one.unitsInFlight === other.unitsInFlight &&
    one.weight === other.weight
  );
}

/** Which limit of a plan a request was refused by. */
export type RefusedBy = 'units' | 'in_flight';
