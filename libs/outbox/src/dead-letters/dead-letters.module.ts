import { Module } from '@nestjs/common';
import { GetDeadLetterHandler, ListDeadLettersHandler } from './dead-letter.queries.js';
import { DecideDeadLetterHandler } from './decide-dead-letter.command.js';

/** What operators see of dead letters, and decide about them. Needs PlatformModule. */
@Module({
  providers: [ListDeadLettersHandler, GetDeadLetterHandler, DecideDeadLetterHandler],
})
export class DeadLettersModule {}
