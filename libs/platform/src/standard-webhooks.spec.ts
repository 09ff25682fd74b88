import { Webhook } from 'standardwebhooks';
import { describe, expect, it } from 'vitest';
import { newKey, secretOf, signatureOf } from './standard-webhooks.js';

const body = '{"type":"account.created","data":{"name":"Zoë"}}';
const now = Math.floor(Date.now() / 1_000);
const headers = (signature: string, timestamp = now) => ({
  'webhook-id': 'evt_1_2',
  'webhook-timestamp': String(timestamp),
  'webhook-signature': signature,
});

describe('a signature', () => {
  it("is the one of Standard Webhooks' own example", () => {
    const key = Buffer.from('MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', 'base64');
    const signature = signatureOf([key], 'msg_p5jXN8AQM9LWM0D4loKWxJek', 1614265330, '{"test": 2432232314}');
    expect(signature).toBe('v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=');
  });

  it('verifies with the library, under each of its secrets', () => {
    const keys = [newKey(), newKey()];
    const signature = signatureOf(keys, 'evt_1_2', now, body);
    for (const key of keys) {
      expect(secretOf(key)).toMatch(/^whsec_[A-Za-z0-9+/]{43}=$/);
      expect(new Webhook(secretOf(key)).verify(body, headers(signature))).toEqual(JSON.parse(body));
    }
  });

  it.each([
    ['another secret', () => ({ secret: secretOf(newKey()) })],
    ['another body', () => ({ text: `${body} ` })],
    ['another time', () => ({ timestamp: now - 1 })],
  ])('does not verify with %s', (_what, change) => {
    const key = newKey();
    const given = { secret: secretOf(key), text: body, timestamp: now, ...change() };
    const signature = signatureOf([key], 'evt_1_2', now, body);
    expect(() => new Webhook(given.secret).verify(given.text, headers(signature, given.timestamp))).toThrow();
  });
});
