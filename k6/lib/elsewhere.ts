import http from 'k6/http';
import { setting } from './settings.ts';

/** scripts/elsewhere.mjs, which `npm run k6` starts: answers each request as its header says, and what of the machine has been taken. */
export const ELSEWHERE = setting('COUNTERFOIL_ELSEWHERE');

/** By all processes of the machine, by k6, by the server elsewhere. */
export interface Cpu {
  readonly all: number;
  readonly loader: number;
  readonly elsewhere: number;
}

/** Answers, when it is called, hundredths of a core that were taken until then. */
export async function watchCpu(): Promise<() => Promise<Cpu>> {
  const [before, began] = [await cpuUntilNowMs(), Date.now()];
  return async () => {
    const [after, hundredthMs] = [await cpuUntilNowMs(), (Date.now() - began) / 100];
    const taken = (who: keyof Cpu) => (after[who] - before[who]) / hundredthMs;
    return { all: taken('all'), loader: taken('loader'), elsewhere: taken('elsewhere') };
  };
}

async function cpuUntilNowMs(): Promise<Cpu> {
  const { body } = await http.asyncRequest('GET', `${ELSEWHERE}/cpu`);
  return JSON.parse(String(body)) as Cpu;
}
