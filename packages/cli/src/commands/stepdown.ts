/** `canopy stepdown APP`: a planned hand-over; by default waits until another node serves. */
import { coreErrors, systemClock } from '@canopy/core';
import type { AppOverview, ControlClient } from '@canopy/platform';
import { type ClusterOptions, withCluster } from '../connect.ts';
import { cliErrors } from '../errors.ts';
import { EXIT } from '../exit-codes.ts';
import type { Printer } from '../output/printer.ts';

export interface StepDownVerbOptions extends ClusterOptions {
  readonly to?: string | undefined;
  readonly wait?: boolean | undefined;
}

export async function stepDown(app: string, options: StepDownVerbOptions, printer: Printer): Promise<number> {
  return withCluster(options, async (client, { platform }) => {
    const before = await client.appStatus(app);
    checkTarget(before, platform, options.to);
    const begun = systemClock.monotonic();
    const stepped = await client.stepdown(app, options.to === undefined ? {} : { to: options.to });
    printer.note(`${stepped.from} gave ${app} up in ${Math.round(stepped.ms)} ms`);
    if (options.wait === false) {
      printer.result(
        { app, from: stepped.from, to: null, ms: stepped.ms },
        () => `${app}: given up by ${stepped.from}`,
      );
      return EXIT.ok;
    }
    const after = await servedAgain(client, app, stepped.epoch, options.timeoutMs);
    const ms = Math.round(systemClock.monotonic() - begun);
    printer.result(
      { app, from: stepped.from, to: after.active, epoch: after.epoch, ms },
      () => `${app}: ${stepped.from} → ${after.active} in ${ms} ms`,
    );
    return EXIT.ok;
  });
}

function checkTarget(overview: AppOverview, platform: string, to: string | undefined): void {
  const nodes = overview.instances.map(({ node }) => node);
  if (to !== undefined && !nodes.includes(to)) {
    throw cliErrors.create('NODE_UNKNOWN', { platform, node: to, known: nodes.join(', ') });
  }
  if (overview.active === undefined) throw cliErrors.create('NO_ACTIVE_NODE', { app: overview.app });
}

/** Waits until a node serves under a later epoch. */
async function servedAgain(
  client: ControlClient,
  app: string,
  epoch: number | undefined,
  timeoutMs: number,
): Promise<AppOverview> {
  const until = systemClock.monotonic() + timeoutMs;
  for (;;) {
    const overview = await client.appStatus(app);
    if (overview.active !== undefined && (overview.epoch ?? 0) > (epoch ?? 0)) return overview;
    if (systemClock.monotonic() > until) {
      throw coreErrors.create('DEADLINE_EXCEEDED', { operation: `waiting until ${app} is served again`, timeoutMs });
    }
    await systemClock.sleep(30);
  }
}
