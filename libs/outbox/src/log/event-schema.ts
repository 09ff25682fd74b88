import { z } from 'zod';

interface Version {
  readonly data: z.ZodObject;
  /** Why it replaced the one before; undefined for the first. */
  readonly why: string | undefined;
  /** From the version before to this one. */
  readonly upcast: (before: never) => unknown;
}

/**
 * Every version that a type of event has had, oldest first. The log is never rewritten, so a version stays readable for
 * good: each one but the first says how data of the version before becomes its own.
 */
export class EventSchema<Data> {
  private constructor(
    /** One sentence for docs/events.md. */
    readonly tells: string,
    readonly versions: readonly Version[],
  ) {}

  static first<Shape extends z.ZodRawShape>(
    tells: string,
    data: z.ZodObject<Shape, z.core.$strict>,
  ): EventSchema<z.output<typeof data>> {
    return new EventSchema(tells, [{ data, why: undefined, upcast: (same) => same }]);
  }

  next<Shape extends z.ZodRawShape>(
    data: z.ZodObject<Shape, z.core.$strict>,
    change: { why: string; upcast: (before: Data) => z.output<typeof data> },
  ): EventSchema<z.output<typeof data>> {
    return new EventSchema(this.tells, [...this.versions, { data, ...change }]);
  }

  /** The version that is written today. */
  get version(): number {
    return this.versions.length;
  }

  /** Data of a version from 1 to `version` as today's. It is not validated: nobody but our own writers can append to the log. */
  upcast(data: unknown, from: number): Data {
    return this.versions.slice(from).reduce((before, { upcast }) => upcast(before as never), data) as Data;
  }
}

/** The shape of a version's data as JSON Schema, without its prose: what must never change once it has been written. */
export function shapeOf(data: z.ZodObject): unknown {
  const { $schema: _, ...shape } = z.toJSONSchema(data, { reused: 'inline' });
  return withoutProse(shape);
}

function withoutProse(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutProse);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(
    Object.entries(value).flatMap(([key, inner]) =>
      key === 'description' && typeof inner === 'string' ? [] : [[key, withoutProse(inner)]],
    ),
  );
}
