import { expect, test } from 'vitest';
import type { Answer } from './support/api.js';
import { type BreakTest, breakTests } from './support/breaks.js';

let { bystander, shop, maker, checker } = {} as BreakTest;
breakTests((now) => {
  ({ bystander, shop, maker, checker } = now);
});

const told = ({ status, body }: Answer) => [status, body.code];

test('a break can be rejected however much has been said of it, and takes no more comments then', async () => {
  const id = await shop.found();
  await bystander.client.query(
    `UPDATE breaks SET comments = (SELECT json_agg(json_build_object('text', 'x', 'by', 'y', 'at', '2026-11-20T10:00:00.000Z'))
                                     FROM generate_series(1, 200)) WHERE id = $1`,
    [id],
  );
  expect((await shop.act(maker, id, 'propose', shop.posting())).status).toBe(200);
  expect((await shop.act(checker, id, 'comment', { text: 'No.' })).body.code).toBe('validation_failed');
  const rejected = await shop.act(checker, id, 'reject', { reason: 'No.' });
  expect([rejected.status, rejected.body.status]).toEqual([200, 'open']);
  expect(rejected.body.comments[200]).toMatchObject({ text: 'No.', by: checker.name });
  expect((await shop.act(maker, id, 'comment', { text: 'Still.' })).body.code).toBe('validation_failed');
});

test.each([
  ['assign', 'to', {}],
  ['comment', 'text', {}],
  ['propose', 'reason', { action: 'write_off' }],
  ['reject', 'reason', {}],
  ['withdraw', 'reason', {}],
])('who would %s says something that can be read as %s', async (action, path, more) => {
  const id = await shop.found();
  if (action === 'reject' || action === 'withdraw') await shop.act(maker, id, 'propose', shop.posting());
  for (const blank of ['', ' ', '\t\n', '\u00a0', '\u200b\u2060']) {
    const { status, body } = await shop.act(action === 'reject' ? checker : maker, id, action, {
      ...more,
      [path]: blank,
    });
    expect([blank, status, body.code, body.errors?.[0]?.path]).toEqual([blank, 422, 'validation_failed', path]);
  }
  expect((await shop.get(id)).comments).toEqual([]);
});

test('a maker withdraws no more often than a break takes comments', async () => {
  const id = await shop.found();
  await bystander.client.query(
    `UPDATE breaks SET comments = (SELECT json_agg(json_build_object('text', 'x', 'by', 'y', 'at', '2026-11-20T10:00:00.000Z'))
                                     FROM generate_series(1, 200)) WHERE id = $1`,
    [id],
  );
  await shop.act(maker, id, 'propose', shop.posting());
  expect(told(await shop.act(maker, id, 'withdraw', { reason: 'x' }))).toEqual([422, 'validation_failed']);
  expect((await shop.get(id)).status).toBe('proposed');
});

test('a proposal to post more than an amount can be is refused when it is made', async () => {
  const id = await shop.found();
  const proposed = await shop.act(maker, id, 'propose', shop.posting('9007199254740992'));
  expect(told(proposed)).toEqual([422, 'amount_out_of_range']);
  expect((await shop.get(id)).status).toBe('open');
});
