import pg from 'pg';
import { describe, expect, it } from 'vitest';
import { ProblemError } from '#kernel/problem.js';
import { translateError } from './postgres.js';

function sqlError(code: string): pg.DatabaseError {
  return Object.assign(new pg.DatabaseError('of PostgreSQL', 0, 'error'), { code });
}

describe('translateError', () => {
  it.each([
    ['08006', 'database_unavailable'],
    ['25P03', 'database_unavailable'],
    ['25P04', 'database_unavailable'],
    ['40001', 'database_unavailable'],
    ['40P01', 'database_unavailable'],
    ['53300', 'database_unavailable'],
    ['57P01', 'database_unavailable'],
    ['57014', 'deadline_exceeded'],
  ])('tells %s as %s, with when to try again', (code, problem) => {
    expect(translateError(sqlError(code))).toMatchObject({ code: problem, retryAfterS: 1 });
  });

  it.each(['23505', '23514', '42501', '25P02', '22012'])('leaves %s to whoever knows what it means', (code) => {
    const error = sqlError(code);
    expect(translateError(error)).toBe(error);
  });

  it('takes a statement with a parameter too few for a mistake, and what PgBouncer says with that code for a loss', () => {
    const mistake = Object.assign(sqlError('08P01'), { severity: 'ERROR' });
    expect(translateError(mistake)).toBe(mistake);
    const lost = Object.assign(sqlError('08P01'), { severity: 'FATAL' });
    expect(translateError(lost)).toMatchObject({ code: 'database_unavailable' });
  });

  it('leaves a problem as it is', () => {
    const problem = new ProblemError('not_found', 'There is no such account.');
    expect(translateError(problem)).toBe(problem);
  });
});
