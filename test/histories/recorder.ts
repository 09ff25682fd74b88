import { plantRoom } from '../support/plant-room.js';
import { RECORDER } from './log.js';
import type { Build } from './servers.js';

/** The compiled worker gets one more consumer, which writes down what it is given and in which order. */
export function addRecorder(build: Build): void {
  plantRoom(build, 'outbox/recorder.ts', 'Recorder', `{ consumers: [new PLANTED('${RECORDER}', 'stream')] }`);
}
