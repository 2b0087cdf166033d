/** `canopy replication add|remove`: who belongs to a group. */
import { cliErrors } from '../errors.ts';
import { EXIT } from '../exit-codes.ts';
import type { Printer } from '../output/printer.ts';
import { type NamespaceOptions, withAdmin } from './asking.ts';

export async function addMember(node: string, options: NamespaceOptions, printer: Printer): Promise<number> {
  return withAdmin(options, async (admin) => {
    await admin.addMember(node);
    printer.result({ added: node }, () => `${node}: the leader counts it among its followers`);
    return EXIT.ok;
  });
}

export async function removeMember(
  node: string,
  options: NamespaceOptions & { readonly yes?: boolean | undefined },
  printer: Printer,
): Promise<number> {
  if (options.yes !== true)
    throw cliErrors.create('USAGE', {
      command: 'npx canopy replication remove',
      problem: `give --yes when ${node} is gone for good: a master that was removed must begin anew should it come back`,
    });
  return withAdmin(options, async (admin) => {
    await admin.removeMember(node);
    printer.result({ removed: node }, () => `${node}: removed`);
    return EXIT.ok;
  });
}
