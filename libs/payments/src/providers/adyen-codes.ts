import type { Fact } from '../facts.js';

/** A fact without what only an item can say. */
export interface Dated extends Pick<Fact, 'type' | 'stage'> {
  readonly amountKind?: Fact['amountKind'];
  /** Whether it is about the capture, refund or dispute that `pspReference` names, or about the payment as such. */
  readonly ofObject: boolean;
  readonly withAmount: boolean;
}

interface Code {
  /** With `success` true, and false. */
  readonly done?: readonly Dated[];
  readonly refused?: readonly Dated[];
  /** Of a payment that `originalReference` names. */
  readonly isModification: boolean;
}

const ofPayment = (type: Fact['type'], withAmount = true): Dated => ({ type, ofObject: false, withAmount });
const ofObject = (type: Fact['type']): Dated => ({ type, ofObject: true, withAmount: true });
const ofDispute = (type: Fact['type'], stage: NonNullable<Fact['stage']>): Dated => ({ ...ofObject(type), stage });
const modification = (done: readonly Dated[], refused?: readonly Dated[]): Code => ({
  done,
  ...(refused && { refused }),
  isModification: true,
});

const released = modification([ofPayment('voided', false)]);
const refund = modification([ofObject('refunded')], [ofObject('refund_failed')]);

/**
 * By `eventCode`, which is signed. All events of a dispute have the same `pspReference`, and only `eventDate`, which is not signed,
 * says in which order they came; so outcomes and money carry the stage that their code means: what is told of a later stage stands,
 * and a second chargeback takes the money once more. Of codes that are not here nothing follows for money: who has to act, reports,
 * and what other codes tell as well.
 */
export const FACTS_BY_CODE: Readonly<Record<string, Code>> = {
  AUTHORISATION: {
    done: [ofPayment('authorised')],
    refused: [ofPayment('authorisation_failed')],
    isModification: false,
  },
  // To the new amount. Which of several was the last is not signed: the largest stands.
  AUTHORISATION_ADJUSTMENT: modification([{ ...ofPayment('authorisation_adjusted'), amountKind: 'cumulative' }]),
  CANCELLATION: released,
  TECHNICAL_CANCEL: released,
  EXPIRE: modification([ofPayment('expired', false)]),
  CAPTURE: modification([ofObject('captured')], [ofObject('capture_failed')]),
  CAPTURE_FAILED: modification([ofObject('capture_failed')]),
  REFUND: refund,
  REFUND_WITH_DATA: refund,
  REFUND_FAILED: modification([ofObject('refund_failed')]),
  REFUNDED_REVERSED: modification([ofObject('refund_reversed')]),
  // Which of the two it was stands in `modification.action`, unsigned. Of a payment that was not captured a refund waits and moves
  // nothing; of one that was, there is no hold to release.
  CANCEL_OR_REFUND: modification([ofPayment('voided', false), ofObject('refunded')]),
  REQUEST_FOR_INFORMATION: modification([ofDispute('dispute_opened', 'inquiry')]),
  NOTIFICATION_OF_CHARGEBACK: modification([ofDispute('dispute_opened', 'chargeback')]),
  CHARGEBACK: modification([
    ofDispute('dispute_opened', 'chargeback'),
    ofDispute('dispute_funds_withdrawn', 'chargeback'),
  ]),
  CHARGEBACK_REVERSED: modification([
    ofDispute('dispute_won', 'chargeback'),
    ofDispute('dispute_funds_reinstated', 'chargeback'),
  ]),
  SECOND_CHARGEBACK: modification([
    ofDispute('dispute_opened', 'second_chargeback'),
    ofDispute('dispute_lost', 'second_chargeback'),
    ofDispute('dispute_funds_withdrawn', 'second_chargeback'),
  ]),
  PREARBITRATION_WON: modification([
    ofDispute('dispute_won', 'pre_arbitration'),
    ofDispute('dispute_funds_reinstated', 'pre_arbitration'),
  ]),
  PREARBITRATION_LOST: modification([ofDispute('dispute_lost', 'pre_arbitration')]),
};
