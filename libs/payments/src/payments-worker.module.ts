import { Module } from '@nestjs/common';
import { ProvidersWorkerModule } from './providers/providers-worker.module.js';
import { TimersWorkerModule } from './timers/timers-worker.module.js';

/** All that payments do by themselves. */
@Module({ imports: [ProvidersWorkerModule, TimersWorkerModule] })
export class PaymentsWorkerModule {}
