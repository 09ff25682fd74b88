import { type DynamicModule, Module } from '@nestjs/common';
import { PlatformModule, type PlatformOptions } from '#platform/platform.module.js';

/** Everything that runs by itself. */
@Module({})
export class WorkerModule {
  static with(platform: PlatformOptions): DynamicModule {
    return { module: WorkerModule, imports: [PlatformModule.with(platform)] };
  }
}
