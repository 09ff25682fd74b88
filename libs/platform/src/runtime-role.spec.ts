import { describe, expect, it } from 'vitest';
import { runtimeUrlOf } from './runtime-role.js';

describe('runtimeUrlOf', () => {
  it('gives all databases of a server the same password', () => {
    const passwords = ['a', 'b'].map((name) => new URL(runtimeUrlOf(`postgres://owner:secret@db/${name}`)).password);
    expect(passwords[0]).toBe(passwords[1]);
  });

  it('never hands out a password that anybody could derive', () => {
    expect(new URL(runtimeUrlOf('postgres://owner@db/x')).password).toBe('');
  });

  it('keeps the options of the URL, and serves Unix sockets', () => {
    expect(runtimeUrlOf('postgres://o:p@db/x?sslmode=require')).toMatch(/sslmode=require$/);
    expect(runtimeUrlOf('postgres:///x?host=/run/postgresql&user=o&password=p')).toMatch(
      /user=counterfoil_runtime&password=[\w-]{43}/,
    );
  });
});
