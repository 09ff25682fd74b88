/** A person or a machine that runs the platform, known by the key that it sent. */
export interface Operator {
  /** Null: a key of the environment. */
  keyId: bigint | null;
  name: string;
}

/** Whoever has a key of COUNTERFOIL_OPERATOR_KEY, one of several too: while one replaces another they are the same operator's. */
export const ENVIRONMENT_OPERATOR: Operator = { keyId: null, name: 'environment' };
