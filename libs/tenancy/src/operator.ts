import { foldedText } from '#kernel/text.js';

/** A person or a machine that runs the platform, known by the key that it sent. */
export interface Operator {
  /** Null: a key of the environment. */
  keyId: bigint | null;
  name: string;
  /** Who answers for the key: whoever issued it, or issued the issuer's, and so on; of those whom the environment issued one, itself. */
  responsible: string;
}

/** Name of whoever has a key of COUNTERFOIL_OPERATOR_KEY; no other key has it. */
export const ENVIRONMENT = 'environment';

/** Whether both are one operator's names: whoever is written in two ways is one person. */
export function isSameOperator(one: string, other: string): boolean {
  return foldedText(one) === foldedText(other);
}

/** With several keys in the environment they are the same operator's, while one replaces another. */
export const ENVIRONMENT_OPERATOR: Operator = { keyId: null, name: ENVIRONMENT, responsible: ENVIRONMENT };

/** Whose the keys are that an operator issues. */
export function responsibleFor(name: string, issuer: Operator): string {
  return issuer.keyId === null ? name : issuer.responsible;
}
