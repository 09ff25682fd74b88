import { createHmac } from 'node:crypto';
import { z } from 'zod';
import { type Delivery, isSigned, jsonOf } from '#platform/signatures.js';
import type { Verdict } from './provider.js';

/** The eight fields that are signed, and no other: nothing else of an item may move money. */
export const adyenItem = z.looseObject({
  // What is joined by colons can be taken apart again in one way only, if these have none.
  pspReference: z.string().regex(/^[A-Za-z0-9_-]{1,80}$/),
  originalReference: z
    .string()
    .regex(/^[A-Za-z0-9_-]{0,80}$/)
    .nullish()
    .transform((text) => text ?? ''),
  merchantAccountCode: z.string().max(255),
  merchantReference: z
    .string()
    .max(255)
    .nullish()
    .transform((text) => text ?? ''),
  amount: z.looseObject({
    value: z.union([z.int().min(0), z.string().regex(/^[0-9]{1,16}$/)]),
    currency: z.string().regex(/^[A-Z]{3}$/),
  }),
  eventCode: z.string().regex(/^[A-Z_0-9]{1,80}$/),
  success: z.union([z.boolean(), z.enum(['true', 'false'])]).transform((value) => String(value)),
  additionalData: z.looseObject({ hmacSignature: z.string().max(255).optional() }).optional(),
});

export type AdyenItem = z.output<typeof adyenItem>;

const container = z.looseObject({
  notificationItems: z
    .array(z.looseObject({ NotificationRequestItem: z.unknown() }))
    .min(1)
    .max(100),
});

/** The items of a body, as they stand; undefined: it is no notification of Adyen's. */
export function itemsOf(body: Buffer): readonly unknown[] | undefined {
  const read = container.safeParse(jsonOf(body));
  return read.success ? read.data.notificationItems.map((item) => item.NotificationRequestItem) : undefined;
}

/** What is signed: https://docs.adyen.com/development-resources/webhooks/verify-hmac-signatures. */
function signedText(item: AdyenItem): string {
  const { pspReference, originalReference, merchantAccountCode, merchantReference, amount, eventCode, success } = item;
  return [
    pspReference,
    originalReference,
    merchantAccountCode,
    merchantReference,
    amount.value,
    amount.currency,
    eventCode,
    success,
  ].join(':');
}

function isItemSigned(given: unknown, keys: readonly Buffer[]): boolean {
  const read = adyenItem.safeParse(given);
  if (!read.success) return false;
  const signature = Buffer.from(read.data.additionalData?.hmacSignature ?? '', 'base64');
  const macs = keys.map((key) => createHmac('sha256', key).update(signedText(read.data)).digest());
  return isSigned(macs, [signature]);
}

/**
 * Each item is signed by itself, and there is no time in what is signed, so that a replay is known by its identity alone. What is kept
 * are the items that are signed; while others are not, the body as a whole is refused, and Adyen sends it again.
 */
export function verifyAdyen({ body }: Delivery, keys: readonly Buffer[]): Verdict {
  const items = itemsOf(body);
  if (items === undefined) return { accepted: false, reason: 'unsigned' };
  const signed = items.filter((item) => isItemSigned(item, keys));
  const refused = items.length - signed.length;
  if (signed.length === 0) return { accepted: false, reason: 'wrong signature' };
  return { accepted: true, body: refused === 0 ? body : bodyOf(signed), refused };
}

function bodyOf(items: readonly unknown[]): Buffer {
  return Buffer.from(JSON.stringify({ notificationItems: items.map((item) => ({ NotificationRequestItem: item })) }));
}
