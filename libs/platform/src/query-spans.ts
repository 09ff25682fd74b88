import { type Span, SpanKind } from '@opentelemetry/api';
import type pg from 'pg';
import { ATTRIBUTE, postgresAttributes } from './span-names.js';
import { statementName } from './statement-name.js';
import { endSpan, failSpan, startChild } from './tracing.js';

interface Statement {
  name?: string;
  text: string;
  values?: unknown[];
}

interface Client {
  query<Row extends pg.QueryResultRow>(query: Statement): Promise<pg.QueryResult<Row>>;
}

/** A statement in a span of its name below `parent`, where that is recorded. */
export async function tracedQuery<R>(parent: Span | undefined, query: Statement, send: () => Promise<R>): Promise<R> {
  if (!parent?.isRecording()) return send();
  const summary = statementName(query);
  const span = startChild(parent, summary, { kind: SpanKind.CLIENT, attributes: () => postgresAttributes(summary) });
  try {
    const result = await send();
    const { rows } = result as Partial<pg.QueryResult>;
    if (rows && rows.length > 0) span.setAttribute(ATTRIBUTE.dbRows, rows.length);
    endSpan(span);
    return result;
  } catch (error) {
    failSpan(span, error);
    throw error;
  }
}

/** A transaction's client, each of whose statements has its span. */
export function tracedClient(client: Client, parent: Span | undefined): Client {
  if (!parent?.isRecording()) return client;
  return { query: (query) => tracedQuery(parent, query, () => client.query(query)) };
}
