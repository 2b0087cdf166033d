/** The two roles of a replica, as values and as a type. */
export const ReplicationRole = { Leader: 'leader', Follower: 'follower' } as const;
export type ReplicationRole = (typeof ReplicationRole)[keyof typeof ReplicationRole];
