import { randomBytes } from 'node:crypto';
import type { ApiProcess } from './api-process.js';
import { FactSource } from './fact-source.js';
import { HttpConnection } from './http-connection.js';
import { type BenchMerchant, postRequest } from './requests.js';
import { measure, type Times, type TrialResult } from './trial-result.js';

interface Outcome {
  outcome: string;
  payment_id: string;
}

/**
 * A lone caller tells of captures before their payments are known, and then of each cause. What is measured is from the request
 * with the cause to its answer: the parked capture commits with it, which one look at a payment makes sure of.
 */
export async function tellCauses(api: ApiProcess, merchant: BenchMerchant, times: Times): Promise<TrialResult> {
  const connection = await HttpConnection.open(api.port);
  const source = new FactSource(`parked-${randomBytes(6).toString('hex')}`);
  const tell = async (body: string, outcome: string): Promise<string> => {
    const answer = await connection.exchange(
      postRequest({ route: '/v1/provider_events', apiKey: merchant.apiKey, body }),
    );
    const told = JSON.parse(answer.body) as Outcome;
    if (told.outcome !== outcome)
      throw new Error(`a fact was answered ${answer.status} ${answer.body}, not ${outcome}`);
    return told.payment_id;
  };
  let number = 0;
  let last = '';
  let cause = '';
  const park = async (): Promise<void> => {
    const facts = source.pair(String(number++));
    await tell(facts.effect, 'parked');
    cause = facts.cause;
  };
  try {
    const result = await measure(
      times,
      1,
      async () => {
        last = await tell(cause, 'applied');
        return true;
      },
      park,
    );
    await seeCaptured(connection, merchant, last);
    return result;
  } finally {
    connection.close();
  }
}

async function seeCaptured(connection: HttpConnection, { apiKey }: BenchMerchant, id: string): Promise<void> {
  const { body } = await connection.exchange(
    `GET /v1/payments/${id} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer ${apiKey}\r\n\r\n`,
  );
  const { status } = JSON.parse(body) as { status: string };
  if (status !== 'captured') throw new Error(`the parked capture was not applied: ${body}`);
}
