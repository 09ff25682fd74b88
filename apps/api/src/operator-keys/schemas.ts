import { z } from 'zod';
import { isoTime } from '#kernel/clock.js';
import { ENVIRONMENT } from '#tenancy/operator.js';
import type { OperatorKey } from '#tenancy/operator-key.entity.js';
import { idOut, listOf, listQuery, readableIn, timestampOut } from '../schemas.js';

export const issueOperatorKey = z
  .strictObject({
    name: readableIn(255)
      .regex(/^\S(?:.*\S)?$/u, 'must begin and end with something that can be seen, in one line')
      .meta({
        description: 'Of a person or a machine. It has one valid key at a time, whatever its case and spaces.',
        examples: ['ada'],
      }),
  })
  .meta({ id: 'IssueOperatorKey' });

export const operatorKey = z
  .looseObject({
    id: idOut.nullable().meta({ description: 'Null: the keys of the environment, which come first.' }),
    name: z.string(),
    created_at: timestampOut.nullable(),
    created_by: z.string().nullable().meta({ description: 'The operator who issued it.' }),
    responsible: z.string().meta({
      description:
        'Who answers for it. Keys with the same responsible operator are one person’s where one proposes and another approves: those that an operator issues are its own, those that the environment issues are their holders’.',
    }),
    revoked_at: timestampOut.nullable(),
    revoked_by: z.string().nullable(),
  })
  .meta({ id: 'OperatorKey' });

export const issuedOperatorKey = operatorKey
  .extend({
    secret: z
      .string()
      .regex(/^cfo_[0-9A-Za-z]{49}$/)
      .nullable()
      .meta({ description: 'Shown this once: null in a replay.' }),
  })
  .meta({ id: 'IssuedOperatorKey' });

export const operatorKeyList = listOf(operatorKey, 'OperatorKeyList');
export const pageQuery = z.strictObject(listQuery);

export function operatorKeyBody(key: OperatorKey) {
  return {
    id: String(key.id),
    name: key.name,
    created_at: isoTime(key.createdAtMs),
    created_by: key.createdBy,
    responsible: key.responsible,
    revoked_at: key.revokedAtMs === null ? null : isoTime(key.revokedAtMs),
    revoked_by: key.revokedBy,
  };
}

/** What COUNTERFOIL_OPERATOR_KEY names, however many. */
export const OF_ENVIRONMENT = {
  id: null,
  name: ENVIRONMENT,
  created_at: null,
  created_by: null,
  responsible: ENVIRONMENT,
  revoked_at: null,
  revoked_by: null,
};
