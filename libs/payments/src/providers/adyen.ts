import type { Fact } from '../facts.js';
import { type Dated, FACTS_BY_CODE } from './adyen-codes.js';
import { type AdyenItem, adyenItem, itemsOf, verifyAdyen } from './adyen-signature.js';
import { adyenDigits, minorUnits } from './minor-units.js';
import { type Provider, type Told, type Translation, Untranslatable } from './provider.js';

/**
 * Facts come from what is signed: references, amount, `eventCode`, `success`. Of what is not, `eventDate` is taken for when it happened
 * and decides neither amounts nor outcomes; reasons, `disputeStatus` and `modification.action` decide nothing.
 */
function toldOf(given: unknown, receivedAtMs: number): Told[] {
  const read = adyenItem.safeParse(given);
  if (!read.success) return [{ what: 'an item', ignored: 'it is not as Adyen documents it' }];
  const item = read.data;
  const { eventCode: what, success } = item;
  const code = Object.hasOwn(FACTS_BY_CODE, what) ? FACTS_BY_CODE[what] : undefined;
  if (!code) return [{ what, ignored: 'events of this code move nothing' }];
  const facts = success === 'true' ? code.done : code.refused;
  if (!facts) return [{ what, ignored: 'it was not successful, and changes nothing' }];
  try {
    return factsOf(item, { facts, isModification: code.isModification, occurredAtMs: eventTime(item, receivedAtMs) });
  } catch (error) {
    if (!(error instanceof Untranslatable)) throw error;
    return [{ what, ignored: error.message }];
  }
}

/** What the item's code makes of it. */
interface Meaning {
  readonly facts: readonly Dated[];
  readonly isModification: boolean;
  readonly occurredAtMs: number;
}

function factsOf(item: AdyenItem, { facts, isModification, occurredAtMs }: Meaning): Told[] {
  const { pspReference, originalReference, eventCode, success, amount } = item;
  if (isModification && originalReference === '') throw new Untranslatable('it does not say which payment it changes');
  const paymentRef = originalReference || pspReference;
  const own = minorUnits(amount.value, amount.currency, adyenDigits);
  return facts.map(({ type, ofObject, withAmount, ...more }) => {
    const fact: Fact = {
      // An item may be several facts: its identity, and which of them.
      id: `${pspReference}:${eventCode}:${success}:${type}`,
      source: 'provider',
      type,
      currency: amount.currency,
      amountKind: 'delta',
      occurredAtMs,
      ...(withAmount && { amount: own }),
      ...(ofObject && { objectRef: pspReference }),
      ...more,
    };
    return { what: eventCode, paymentRef, fact };
  });
}

/** Adyen's clock may be ahead of ours. */
const AHEAD_MS = 60_000;
/** Adyen goes on sending for 30 days what nobody takes. */
const BEHIND_MS = 60 * 86_400_000;

/** When it happened, as far as a date that is not signed can be believed: otherwise it is taken for the time of receipt. */
function eventTime({ eventDate }: AdyenItem, receivedAtMs: number): number {
  const ms =
    typeof eventDate === 'string' && /^\d{4}-\d{2}-\d{2}T/.test(eventDate) ? Date.parse(eventDate) : Number.NaN;
  return ms >= receivedAtMs - BEHIND_MS && ms <= receivedAtMs + AHEAD_MS ? ms : receivedAtMs;
}

function translate(body: Buffer, receivedAtMs: number): Translation {
  const items = itemsOf(body);
  return items
    ? { told: items.flatMap((item) => toldOf(item, receivedAtMs)) }
    : { unreadable: 'it is no notification of Adyen’s' };
}

/** Adyen's API does not tell of a payment by its pspReference: it cannot be asked. */
export const ADYEN: Provider = {
  secretForm: 'the HMAC key of the webhook in Adyen’s Customer Area: 64 hexadecimal digits',
  keyOf: (secret) => (/^[0-9A-Fa-f]{64}$/.test(secret) ? Buffer.from(secret, 'hex') : undefined),
  verify: verifyAdyen,
  translate,
};
