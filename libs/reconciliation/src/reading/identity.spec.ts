import { expect, it } from 'vitest';
import { identityOf } from './identity.js';

it('is the first half of SHA-256 of the parts, with NUL between them', () => {
  expect(identityOf(['abc'])).toBe('ba7816bf8f01cfea414140de5dae2223');
  expect(identityOf(['a', 'b'])).not.toBe(identityOf(['ab']));
  expect(identityOf(['a', ''])).not.toBe(identityOf(['', 'a']));
  expect(identityOf(['a', ''])).not.toBe(identityOf(['a']));
});
