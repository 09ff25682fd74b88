import { describe, expect, it } from 'vitest';
import { readAll, reportFixture } from '../../../../test/support/reports.js';
import type { ReportRow } from '../report-row.js';

/** What of a row is money, and whose. */
const told = ({ type, reference, objectRef, gross, fee, net, currency, batch }: ReportRow) =>
  [type, reference, objectRef, gross, fee, net, currency, batch] as const;

describe('a report of the generic form', () => {
  it('is read in minor units', async () => {
    const { rows, bad } = await readAll('generic', reportFixture('generic.csv'));
    expect(bad).toEqual([]);
    expect(rows.map(told)).toEqual([
      ['payment', 'pay_1001', 'cap_1001', 4200n, 84n, 4116n, 'EUR', 'batch_77'],
      ['payment', 'pay_1002', undefined, 1350n, 44n, 1306n, 'EUR', 'batch_77'],
      ['refund', 'pay_1001', 'ref_9001', -3000n, 10n, -3010n, 'EUR', 'batch_77'],
      ['dispute', 'pay_0950', 'dsp_31', -2480n, 1500n, -3980n, 'EUR', 'batch_77'],
      ['dispute_reversed', 'pay_0910', 'dsp_28', 1999n, 0n, 1999n, 'EUR', 'batch_77'],
      ['fee', undefined, undefined, -25n, 0n, -25n, 'EUR', 'batch_77'],
      ['payout', undefined, undefined, -406n, 0n, -406n, 'EUR', 'batch_77'],
      ['payment', 'pay_1003', 'cap_1003', 12900n, 206n, 12694n, 'JPY', 'batch_78'],
    ]);
    expect(rows.map(({ line }) => line)).toEqual([2, 3, 4, 5, 6, 7, 8, 9]);
    expect(rows[1]?.occurredAtMs).toBe(Date.parse('2026-11-26T14:02:40Z'));
    expect(rows[3]?.occurredAtMs).toBe(Date.parse('2026-11-26T18:00:00.250Z'));
  });
});

describe('Adyen’s settlement details', () => {
  it('are read by their columns, whose sides are the signs', async () => {
    const { rows, bad } = await readAll('adyen_settlement_detail', reportFixture('adyen-settlement-detail.csv'));
    expect(bad).toEqual([]);
    expect(rows.map(told)).toEqual([
      ['payment', '8816178914079738', '8516178914123456', 4200n, 84n, 4116n, 'EUR', '417'],
      ['payment', '8816178914079739', '8516178914123457', 1999n, 51n, 1948n, 'EUR', '417'],
      ['payment', '8816178914079740', '8516178914123458', 115n, 5n, 110n, 'EUR', '417'],
      ['refund', '8816178914079738', '8516178914129001', -3000n, 10n, -3010n, 'EUR', '417'],
      ['dispute', '8816178914070011', '8516178914120031', -2480n, 750n, -3230n, 'EUR', '417'],
      ['dispute_reversed', '8816178914070012', '8516178914120028', 1999n, 0n, 1999n, 'EUR', '417'],
      ['dispute', '8816178914070013', '8516178914120027', -500n, 0n, -500n, 'EUR', '417'],
      ['refund', '8816178914070014', '8516178914120020', 29n, 0n, 29n, 'EUR', '417'],
      ['fee', undefined, undefined, -88n, 0n, -88n, 'EUR', '417'],
      ['other', undefined, undefined, -100n, 0n, -100n, 'EUR', '417'],
      ['other', undefined, undefined, 50n, 0n, 50n, 'EUR', '417'],
      ['payout', undefined, undefined, -1324n, 0n, -1324n, 'EUR', '417'],
    ]);
    expect(rows[0]?.occurredAtMs).toBe(Date.parse('2026-11-25T11:26:49+01:00'));
  });

  it('come to nothing, a batch with what it paid out', async () => {
    const { rows } = await readAll('adyen_settlement_detail', reportFixture('adyen-settlement-detail.csv'));
    expect(rows.reduce((sum, { net }) => sum + net, 0n)).toBe(0n);
    expect(new Set(rows.map(({ identity }) => identity)).size).toBe(rows.length);
  });
});

describe('Stripe’s payout reconciliation', () => {
  it('is read in major units, and names payments as our payments of Stripe’s are named', async () => {
    const { rows, bad } = await readAll(
      'stripe_payout_reconciliation',
      reportFixture('stripe-payout-reconciliation.csv'),
    );
    expect(bad).toEqual([]);
    const payout = 'po_1QNordwind0417';
    expect(rows.map(told)).toEqual([
      ['payment', 'pi_3QA1', undefined, 4200n, 88n, 4112n, 'EUR', payout],
      ['payment', 'pi_3QA2', undefined, 1999n, 55n, 1944n, 'EUR', payout],
      ['payment', 'py_3QA3', undefined, 115n, 26n, 89n, 'EUR', payout],
      ['payment', 'pi_3QA4', undefined, 10000n, 175n, 9825n, 'EUR', payout],
      ['payment', 'pi_3QA4', undefined, -4000n, 0n, -4000n, 'EUR', payout],
      ['refund', 'pi_3QA1', 're_3QA1a', -3000n, 0n, -3000n, 'EUR', payout],
      ['dispute', 'pi_3Q95', 'du_1QD1', -2480n, 1500n, -3980n, 'EUR', payout],
      ['dispute_reversed', 'pi_3Q91', 'du_1QD0', 1999n, 0n, 1999n, 'EUR', payout],
      ['fee', undefined, undefined, -29n, 0n, -29n, 'EUR', payout],
      ['payout', undefined, undefined, -6960n, 0n, -6960n, 'EUR', payout],
    ]);
    expect(rows.reduce((sum, { net }) => sum + net, 0n)).toBe(0n);
    expect(rows[0]?.occurredAtMs).toBe(Date.parse('2026-11-25T11:26:49Z'));
  });
});

describe('a bank’s statement', () => {
  it('is read transaction by transaction, batches and returns too, and its balances are told', async () => {
    const { rows, bad, statements } = await readAll('camt053', reportFixture('camt053-001-08.xml'));
    expect(bad).toEqual([]);
    expect(rows.map(told)).toEqual([
      [
        'other',
        'DE02120300000000202051/2026112600000001',
        undefined,
        1324n,
        0n,
        1324n,
        'EUR',
        'NordwindCoffeeECOM batch 417 TX417XT',
      ],
      ['payout', '7211000000000001', undefined, -1999n, 0n, -1999n, 'EUR', undefined],
      ['payout', '7211000000000002', undefined, -115n, 0n, -115n, 'EUR', undefined],
      ['payout', '7211000000000003', undefined, -15481n, 0n, -15481n, 'EUR', undefined],
      ['payout', '7211000000000000', undefined, 2029n, 0n, 2029n, 'EUR', undefined],
    ]);
    expect(rows.map(({ line }) => line)).toEqual([1, 2, 3, 4, 5]);
    expect(rows[4]?.occurredAtMs).toBe(Date.parse('2026-11-26T14:30:00Z'));
    expect(statements).toEqual([
      {
        ...{ id: '2026-11-26-EUR', account: 'DE02120300000000202051', currency: 'EUR' },
        ...{ opening: 100000n, closing: 85758n, entries: -14242n },
      },
    ]);
  });

  it('is read in its older form, where rejects are told by a reason and payments have no reference of the bank’s', async () => {
    const { rows, bad, statements } = await readAll('camt053', reportFixture('camt053-001-02.xml'));
    expect(bad).toEqual([]);
    expect(rows.map(told)).toEqual([
      ['payout', '7211000000000004', undefined, -29n, 0n, -29n, 'EUR', undefined],
      ['payout', '7211000000000004', undefined, -29n, 0n, -29n, 'EUR', undefined],
      ['payout', '7211000000000005', undefined, 115n, 0n, 115n, 'EUR', undefined],
      ['other', '0532013000/2026112621050000', undefined, 58n, 0n, 58n, 'EUR', undefined],
    ]);
    expect(new Set(rows.map(({ identity }) => identity)).size).toBe(4);
    expect(statements).toEqual([
      {
        ...{ id: '0352C5320261126210500', account: '0532013000', currency: 'EUR' },
        ...{ opening: -3306n, closing: -3191n, entries: 115n },
      },
    ]);
  });
});

it('tells the same identities of the same report again', async () => {
  for (const [source, name] of [
    ['generic', 'generic.csv'],
    ['adyen_settlement_detail', 'adyen-settlement-detail.csv'],
    ['stripe_payout_reconciliation', 'stripe-payout-reconciliation.csv'],
    ['camt053', 'camt053-001-08.xml'],
    ['camt053', 'camt053-001-02.xml'],
  ] as const) {
    expect(await readAll(source, reportFixture(name))).toEqual(await readAll(source, reportFixture(name)));
  }
});
