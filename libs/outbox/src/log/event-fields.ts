import { z } from 'zod';

/** What the data of events is made of. */

export const id = z
  .string()
  .regex(/^[1-9][0-9]{0,18}$/)
  .describe('Snowflake.');
export const currency = z
  .string()
  .regex(/^[A-Z]{3}$/)
  .describe('ISO 4217.');
export const side = z.enum(['debit', 'credit']);
export const amount = z
  .string()
  .regex(/^(0|[1-9][0-9]*)$/)
  .describe('Minor units.');
export const signedAmount = z.string().regex(/^(0|-?[1-9][0-9]*)$/);
export const time = z
  .string()
  .regex(/^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z$/)
  .meta({ format: 'date-time' });
