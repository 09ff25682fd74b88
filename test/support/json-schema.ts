/**
 * Validates against the part of JSON Schema 2020-12 that /openapi.json uses. A keyword that it does not know throws, so that
 * nothing documented goes unchecked. Answers the faults, each with where it lies; none: valid.
 */
export function faultsOf(value: unknown, schema: unknown, root: object, at = ''): string[] {
  if (schema === true) return [];
  if (schema === false) return [`${at || 'value'}: nothing is allowed here`];
  const faults: string[] = [];
  for (const [keyword, argument] of Object.entries(schema as Schema)) {
    const check = KEYWORDS[keyword];
    if (!check) throw new Error(`the schema at ${at || 'the root'} has the unknown keyword ${keyword}`);
    faults.push(...check({ value, argument, schema: schema as Schema, root, at }));
  }
  return faults;
}

type Schema = Record<string, unknown>;

interface Checked {
  value: unknown;
  /** What the keyword is set to. */
  argument: unknown;
  schema: Schema;
  root: object;
  at: string;
}

type Check = (checked: Checked) => string[];

const RFC_3339_MS = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z$/;

const ANNOTATION: Check = () => [];

const KEYWORDS: Record<string, Check> = {
  description: ANNOTATION,
  examples: ANNOTATION,
  default: ANNOTATION,
  title: ANNOTATION,
  $ref: ({ value, argument, root, at }) => faultsOf(value, pointedAt(root, String(argument)), root, at),
  type: ({ value, argument, at }) => {
    const types = [argument].flat() as string[];
    return failIf(
      !types.some((type) => isOfType(value, type)),
      at,
      `is no ${types.join(' or ')}: ${JSON.stringify(value)}`,
    );
  },
  const: ({ value, argument, at }) => failIf(value !== argument, at, `is not ${argument}`),
  enum: ({ value, argument, at }) =>
    failIf(!(argument as unknown[]).includes(value), at, `is none of ${argument}: ${value}`),
  pattern: ({ value, argument, at }) =>
    failIf(
      typeof value === 'string' && !new RegExp(String(argument), 'u').test(value),
      at,
      `does not match ${argument}: ${value}`,
    ),
  format: ({ value, argument, at }) => {
    if (argument !== 'date-time') throw new Error(`unknown format ${argument}`);
    return failIf(
      typeof value === 'string' && !RFC_3339_MS.test(value),
      at,
      `is no UTC time with milliseconds: ${value}`,
    );
  },
  minimum: ({ value, argument, at }) =>
    failIf(typeof value === 'number' && value < Number(argument), at, `is below ${argument}`),
  maximum: ({ value, argument, at }) =>
    failIf(typeof value === 'number' && value > Number(argument), at, `is above ${argument}`),
  items: ({ value, argument, root, at }) =>
    Array.isArray(value) ? value.flatMap((item, index) => faultsOf(item, argument, root, `${at}.${index}`)) : [],
  properties: ({ value, argument, root, at }) =>
    isObject(value)
      ? Object.entries(argument as Schema).flatMap(([name, schema]) =>
          name in value ? faultsOf(value[name], schema, root, `${at}.${name}`) : [],
        )
      : [],
  required: ({ value, argument, at }) =>
    isObject(value)
      ? (argument as string[]).flatMap((name) => failIf(!(name in value), `${at}.${name}`, 'is missing'))
      : [],
  additionalProperties: ({ value, argument, schema, root, at }) => {
    if (!isObject(value)) return [];
    const known = Object.keys((schema.properties as Schema) ?? {});
    const others = Object.keys(value).filter((name) => !known.includes(name));
    return others.flatMap((name) => faultsOf(value[name], argument, root, `${at}.${name}`));
  },
  propertyNames: ({ value, argument, root, at }) =>
    isObject(value) ? Object.keys(value).flatMap((name) => faultsOf(name, argument, root, `${at}.${name} (name)`)) : [],
  allOf: ({ value, argument, root, at }) =>
    (argument as unknown[]).flatMap((schema) => faultsOf(value, schema, root, at)),
  anyOf: ({ value, argument, root, at }) => {
    const attempts = (argument as unknown[]).map((schema) => faultsOf(value, schema, root, at));
    return attempts.some((faults) => faults.length === 0) ? [] : attempts.flat();
  },
};

function failIf(isFault: boolean, at: string, message: string): string[] {
  return isFault ? [`${at || 'value'} ${message}`] : [];
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isOfType(value: unknown, type: string): boolean {
  if (type === 'null') return value === null;
  if (type === 'array') return Array.isArray(value);
  if (type === 'object') return isObject(value);
  if (type === 'integer') return Number.isInteger(value);
  return typeof value === type;
}

function pointedAt(root: object, pointer: string): unknown {
  let at: unknown = root;
  for (const name of pointer.replace(/^#\//, '').split('/')) at = (at as Schema | undefined)?.[name];
  if (at === undefined) throw new Error(`${pointer} points nowhere`);
  return at;
}
