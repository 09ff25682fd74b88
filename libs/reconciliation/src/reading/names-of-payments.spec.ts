import { describe, expect, it } from 'vitest';
import { ADYEN } from '#payments/providers/adyen.js';
import type { Told } from '#payments/providers/provider.js';
import { STRIPE } from '#payments/providers/stripe.js';
import { readAll, reportFixture } from '../../../../test/support/reports.js';
import type { RowType } from '../report-row.js';

/** Rows and facts meet by names: what a report calls a payment or a refund must be what the provider's webhooks call it. */

const RECEIVED_MS = Date.parse('2026-11-26T12:00:00Z');

/** The facts that a payment's rows of a type are to meet: where money moved. */
const MOVES: Readonly<Record<string, RowType>> = {
  captured: 'payment',
  refunded: 'refund',
  refund_reversed: 'refund',
  dispute_funds_withdrawn: 'dispute',
  dispute_funds_reinstated: 'dispute_reversed',
};

function moved(told: readonly Told[]): unknown[] {
  return told.flatMap((one) => {
    if (!('fact' in one) || !Object.hasOwn(MOVES, one.fact.type)) return [];
    const { type, objectRef, amount, currency } = one.fact;
    return [{ type: MOVES[type], reference: one.paymentRef, objectRef, amount, currency }];
  });
}

const toldBy = (translation: ReturnType<typeof ADYEN.translate>): readonly Told[] =>
  'told' in translation ? translation.told : [];

async function rowsOf(source: Parameters<typeof readAll>[0], name: string): Promise<unknown[]> {
  const { rows } = await readAll(source, reportFixture(name));
  return rows.map(({ type, reference, objectRef, gross, currency }) => {
    return { type, reference, objectRef, amount: gross < 0n ? -gross : gross, currency };
  });
}

describe('Adyen’s settlement details name what its webhooks name:', () => {
  it.each([
    ['CAPTURE', '8516178914123456', '8816178914079738', 4200],
    ['REFUND', '8516178914129001', '8816178914079738', 3000],
    ['REFUNDED_REVERSED', '8516178914120020', '8816178914070014', 29],
    ['CHARGEBACK', '8516178914120031', '8816178914070011', 2480],
    ['CHARGEBACK_REVERSED', '8516178914120028', '8816178914070012', 1999],
    ['SECOND_CHARGEBACK', '8516178914120027', '8816178914070013', 500],
  ])('%s', async (eventCode, pspReference, originalReference, value) => {
    const NotificationRequestItem = {
      ...{ eventCode, pspReference, originalReference, success: 'true', amount: { value, currency: 'EUR' } },
      ...{ merchantAccountCode: 'NordwindCoffeeECOM', merchantReference: 'order-1001' },
    };
    const body = Buffer.from(JSON.stringify({ live: 'false', notificationItems: [{ NotificationRequestItem }] }));
    const facts = moved(toldBy(ADYEN.translate(body, RECEIVED_MS)));
    expect(facts).toHaveLength(1);
    expect(await rowsOf('adyen_settlement_detail', 'adyen-settlement-detail.csv')).toEqual(
      expect.arrayContaining(facts),
    );
  });
});

describe('Stripe’s payout reconciliation names what its webhooks name:', () => {
  const common = { currency: 'eur', created: 1_764_060_000 };
  const dispute = { ...common, status: 'needs_response', charge: 'ch_3Q95', payment_intent: 'pi_3Q95' };
  const balance = (amount: number) => [{ amount, currency: 'eur', fee: 0 }];
  it.each([
    [
      'charge.succeeded',
      {
        ...common,
        id: 'ch_3QA1',
        payment_intent: 'pi_3QA1',
        amount: 4200,
        amount_captured: 4200,
        captured: true,
        status: 'succeeded',
      },
    ],
    [
      'charge.succeeded',
      {
        ...common,
        id: 'py_3QA3',
        payment_intent: null,
        amount: 115,
        amount_captured: 115,
        captured: true,
        status: 'succeeded',
      },
    ],
    [
      'refund.created',
      {
        ...common,
        id: 're_3QA1a',
        payment_intent: 'pi_3QA1',
        charge: 'ch_3QA1',
        amount: 3000,
        status: 'succeeded',
        balance_transaction: 'txn_1QR1',
      },
    ],
    [
      'charge.dispute.funds_withdrawn',
      { ...dispute, id: 'du_1QD1', amount: 2480, balance_transactions: balance(-2480) },
    ],
    [
      'charge.dispute.funds_reinstated',
      {
        ...dispute,
        id: 'du_1QD0',
        charge: 'ch_3Q91',
        payment_intent: 'pi_3Q91',
        amount: 1999,
        status: 'won',
        balance_transactions: balance(1999),
      },
    ],
  ])('%s', async (type, object) => {
    const body = Buffer.from(JSON.stringify({ id: 'evt_1', type, created: common.created, data: { object } }));
    const facts = moved(toldBy(STRIPE.translate(body, RECEIVED_MS)));
    expect(facts).toHaveLength(1);
    expect(await rowsOf('stripe_payout_reconciliation', 'stripe-payout-reconciliation.csv')).toEqual(
      expect.arrayContaining(facts),
    );
  });
});
