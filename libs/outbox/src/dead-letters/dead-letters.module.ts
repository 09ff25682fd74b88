import { Module } from '@nestjs/common';
import { CqrsModule } from '@nestjs/cqrs';
import { GetDeadLetterHandler, ListDeadLettersHandler } from './dead-letter.queries.js';
import { DecideDeadLetterHandler } from './decide-dead-letter.command.js';

/** What operators see of dead letters, and decide about them. Needs PlatformModule. */
@Module({
  imports: [CqrsModule],
  providers: [ListDeadLettersHandler, GetDeadLetterHandler, DecideDeadLetterHandler],
})
export class DeadLettersModule {}
