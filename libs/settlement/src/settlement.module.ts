import { Module } from '@nestjs/common';
import { Settler } from './settler.js';

/** What settles days. Needs PlatformModule. */
@Module({ providers: [Settler], exports: [Settler] })
export class SettlementModule {}
