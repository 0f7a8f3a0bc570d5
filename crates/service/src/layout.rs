use brim_stats::{Layout, RollUp, RollUpConflict, Stat};

/// The names of a server's stats, with those that every server has; and the stats that do not go together
/// with others of their name.
pub fn layout(stats: impl Iterator<Item = Stat>) -> (Layout, Vec<RollUpConflict>) {
    let own = [Stat::new("start_time", RollUp::Worker), Stat::sum("log_dropped_count")];
    let mut layout = Layout::default();
    let declare = |stat| layout.declare(stat).err();
    let conflicts = own.into_iter().chain(stats).filter_map(declare).collect();
    (layout, conflicts)
}
