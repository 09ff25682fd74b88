import { type DynamicModule, Global, Module } from '@nestjs/common';
import type { Check } from './verify.js';

/** Injection token: what all rooms look for in the tables of a merchant. */
export const CHECKS = Symbol('Checks');

@Global()
@Module({})
class ChecksModule {}

/** Hands the checks of all rooms to the one that runs them. */
export function checksModule(checks: readonly Check[]): DynamicModule {
  return { module: ChecksModule, providers: [{ provide: CHECKS, useValue: checks }], exports: [CHECKS] };
}
