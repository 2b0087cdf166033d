/**
 * Names on NATS that this package uses. Dashboards, other languages and older versions rely on them: do not change.
 */
export function membersBucket(platform: string): string {
  return `${platform}_members`;
}

export function electionBucket(platform: string): string {
  return `${platform}_election`;
}

/** Where one node answers a control method about itself (`app` = undefined) or about its instance of an app. */
export function controlSubject(platform: string, app: string | undefined, node: string, method: string): string {
  return `${platform}.${app ?? '_'}.rpc.${node}.${method}`;
}

/** The method of a control subject: its last token. */
export function methodOf(subject: string): string {
  return subject.slice(subject.lastIndexOf('.') + 1);
}
