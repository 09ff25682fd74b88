import type { CheckResult } from '#platform/verify.js';
import type { FoundBreak } from '../closing/open-found.js';

/** Source of the reports of our own checks. */
export const INTERNAL = 'internal';
/** Kind of their breaks, but of findings: these have the finding's. */
export const INTERNAL_MISMATCH = 'internal_mismatch';
/** In the place of a check's name: findings of payments. */
export const FINDINGS = 'findings';
/** Of all of their breaks. */
export const ITEM_PREFIX = 'internal/';

const SUBJECT_CHARACTERS = 300;
const DETAIL_CHARACTERS = 4_000;

export interface PaymentFinding {
  readonly payment_id: string;
  readonly provider_ref: string | null;
  readonly kind: string;
  readonly detail: string;
}

/** What is wrong with a merchant's books, as of one look. */
export interface Inspection {
  readonly checks: readonly CheckResult[];
  readonly findings: readonly PaymentFinding[];
  /** Checks that could not look, or have more to say: what they do not name may be wrong still. */
  readonly incomplete: ReadonlySet<string>;
}

/** Without the fingerprint, which says how often it was found anew. */
export type Offence = Omit<FoundBreak, 'fingerprint'> & { readonly item: string };

/**
 * One for each check and subject: what an offender begins with, up to its first colon. What follows are figures, which may be others the
 * next night though it is the same fault.
 */
export function offencesOf({ checks, findings }: Inspection): Map<string, Offence> {
  const offences = new Map<string, Offence>();
  for (const { name, offenders } of checks) for (const offender of offenders) add(offences, ofCheck(name, offender));
  for (const finding of findings) add(offences, ofFinding(finding));
  return offences;
}

function add(offences: Map<string, Offence>, offence: Offence): void {
  const same = offences.get(offence.item);
  const detail = same ? `${same.detail}\n${offence.detail}` : offence.detail;
  offences.set(offence.item, { ...offence, detail: detail.slice(0, DETAIL_CHARACTERS) });
}

const NO_SIDES = { expected: null, actual: null, difference: null, currency: null };

function ofCheck(name: string, offender: string): Offence {
  const [subject = offender] = offender.split(': ', 1);
  const about = subject.slice(0, SUBJECT_CHARACTERS);
  const item = `${ITEM_PREFIX}${name}/${about}`;
  return { ...NO_SIDES, kind: INTERNAL_MISMATCH, reference: name, object_ref: about, item, detail: offender };
}

function ofFinding({ payment_id: id, provider_ref: ref, kind, detail }: PaymentFinding): Offence {
  const item = `${ITEM_PREFIX}${FINDINGS}/${kind}/${id}`;
  return { ...NO_SIDES, kind, reference: ref ?? id, object_ref: null, item, detail: `Payment ${id}: ${detail}` };
}
