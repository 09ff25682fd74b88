import type { z } from 'zod';

/** Environment variables by their names. A field's description is its row of docs/configuration.md. */
export type Fields = Readonly<Record<string, z.ZodType>>;

type Values<F extends Fields> = { readonly [Name in keyof F]: z.output<F[Name]> };
type FieldsOf<R extends readonly RoomSettings[]> = Together<R[number]['fields']>;
type Together<Union> = (Union extends unknown ? (one: Union) => void : never) extends (all: infer All) => void
  ? All
  : never;

/**
 * A check of whichever room. `holds` is a method, as `derive` is: of methods TypeScript lets one that knows the values of its room stand
 * for one of any.
 */
interface AnyCheck {
  readonly of: readonly string[];
  readonly message: string;
  holds(values: object): boolean;
}

/** Settings that may each be right and are wrong together. */
export interface Check<V> {
  /** The first is the one that the message names. Asked only when each of them is right by itself. */
  readonly of: readonly (keyof V & string)[];
  /** A sentence without its subject, as those of fields. */
  readonly message: string;
  holds(values: V): boolean;
}

/** What a library, or an app, can be told by the environment: the one place that a setting is declared at. */
export interface RoomSettings<F extends Fields = Fields, D extends object = object> {
  /** Its folder. */
  readonly room: string;
  readonly fields: F;
  readonly checks?: readonly AnyCheck[];
  /** Values that are made of others where they are not given. */
  derive?(values: object): D;
}

/** `reads`: rooms below, whose settings the checks may name, too. */
export function roomSettings<
  F extends Fields,
  const R extends readonly RoomSettings[] = readonly [RoomSettings<Record<never, never>>],
  D extends object = Record<never, never>,
>({
  reads: _,
  ...settings
}: {
  room: string;
  reads?: R;
  fields: F;
  checks?: readonly Check<Values<F & FieldsOf<R>>>[];
  derive?(values: Values<F>): D;
}): RoomSettings<F, D> {
  return settings;
}

/** Two settings of which the first must be the greater one, such as an interval and the deadline that it waits out. */
export function greater<A extends string, B extends string>(one: A, other: B): Check<Record<A | B, number>> {
  return { of: [one, other], message: `must be more than ${other}`, holds: (values) => values[one] > values[other] };
}

/** Two settings of which the first is a part, or a limit within, the second. */
export function atMost<A extends string, B extends string>(one: A, other: B): Check<Record<A | B, number>> {
  return {
    of: [one, other],
    message: `must not be more than ${other}`,
    holds: (values) => values[one] <= values[other],
  };
}

/** A limit that 0 turns off, and that would otherwise end what has as long as the other says. */
export function zeroOrAtLeast<A extends string, B extends string>(one: A, other: B): Check<Record<A | B, number>> {
  return {
    of: [one, other],
    message: `must be 0, or at least ${other}`,
    holds: (values) => values[one] === 0 || values[one] >= values[other],
  };
}

/** `WRITER_LANES` → `writerLanes` */
type FieldName<Name> = Name extends `${infer Head}_${infer Tail}`
  ? `${Lowercase<Head>}${Capitalize<FieldName<Tail>>}`
  : Lowercase<Name & string>;

/** The values of a room's settings, as processes have them: the variables' names in camel case. */
export type SettingsOf<R extends RoomSettings> = Together<
  R extends RoomSettings<infer F, infer D>
    ? {
        readonly [Name in keyof (Omit<Values<F>, keyof D> & D) as FieldName<Name>]: (Omit<Values<F>, keyof D> &
          D)[Name];
      }
    : never
>;

export function fieldName(name: string): string {
  return name.toLowerCase().replace(/_(.)/g, (_, letter: string) => letter.toUpperCase());
}
