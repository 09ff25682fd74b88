import { Module } from '@nestjs/common';
import { Limits } from './limits.js';

/** What requests cost, and how much of it each merchant may have. Needs PlatformModule. */
@Module({ providers: [Limits], exports: [Limits] })
export class LimitsModule {}
