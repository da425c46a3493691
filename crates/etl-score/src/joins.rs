//! Which joins may hold a table in memory.
//!
//! A hash join holds one side in memory and cannot spill it; a sort-merge join sorts both sides and
//! spills. The planner always takes the first. [`BoundedJoins`] runs after it has chosen the smaller
//! side. Where that choice is a guess (the rows of another join) and the other side is known, it takes
//! that. It adds up what the tables of a query need and turns the largest into sort-merge joins until
//! the rest fits. Sizes of texts are estimates and can be wrong: then the query ends with
//! `ResourcesExhausted` and is run again with nothing allowed to hash joins but the smallest tables.

use std::sync::Arc;

use arrow_schema::{DataType, Schema, SortOptions};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{JoinSide, JoinType, Result, internal_datafusion_err};
use datafusion::config::ConfigOptions;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::projection::ProjectionExpr;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::joins::utils::JoinFilter;
use datafusion::physical_plan::joins::{
    CrossJoinExec, HashJoinExec, NestedLoopJoinExec, PartitionMode, SortMergeJoinExec,
};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};

/// What a hash table adds to each row: its slot and its link.
const HASH_ROW_BYTES: usize = 32;
/// Taken for a text whose mean length is not known: a view and some bytes.
const TEXT_BYTES: usize = 64;

/// Bounds the memory of a query's hash joins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BoundedJoins {
    /// All tables of a query may come to this.
    pub(crate) bytes: usize,
    /// Tables up to this size never matter.
    pub(crate) small_bytes: usize,
}

impl BoundedJoins {
    /// Every join sorts.
    pub(crate) const NONE: Self = Self {
        bytes: 0,
        small_bytes: 0,
    };

    /// Every join sorts but those with a handful of rows on one side.
    pub(crate) const SMALL: Self = Self {
        bytes: 0,
        small_bytes: 1 << 20,
    };

    /// As much as fits.
    pub(crate) const fn within(bytes: usize) -> Self {
        Self {
            bytes,
            ..Self::SMALL
        }
    }
}

impl PhysicalOptimizerRule for BoundedJoins {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let plan = plan.transform_up(known_before_guessed)?.data;
        let mut tables = Vec::new();
        plan.apply(|node| {
            if let Some(join) = node.downcast_ref::<HashJoinExec>() {
                tables.push(table_bytes(join.left())?);
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        let largest = self.largest_kept(tables);
        let plan = plan.transform_up(|node| {
            let Some(join) = node.downcast_ref::<HashJoinExec>() else {
                return Ok(Transformed::no(node));
            };
            if table_bytes(join.left())? <= largest {
                return Ok(Transformed::no(node));
            }
            Ok(Transformed::yes(sort_merge(join)?))
        })?;
        Ok(plan.data)
    }

    fn name(&self) -> &'static str {
        "bounded_joins"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// Makes the table of the side that has a bound, where the planner guessed that the other is smaller.
fn known_before_guessed(
    node: Arc<dyn ExecutionPlan>,
) -> Result<Transformed<Arc<dyn ExecutionPlan>>> {
    let Some(join) = node.downcast_ref::<HashJoinExec>() else {
        return Ok(Transformed::no(node));
    };
    let is_guessed = table_bytes(join.left())? == usize::MAX;
    let other = table_bytes(join.right())?;
    if !is_guessed || other == usize::MAX || !join.join_type().supports_swap() {
        return Ok(Transformed::no(node));
    }
    let mode = if other <= BoundedJoins::SMALL.small_bytes {
        PartitionMode::CollectLeft
    } else {
        PartitionMode::Partitioned
    };
    Ok(Transformed::yes(join.swap_inputs(mode)?))
}

impl BoundedJoins {
    /// The size of the largest table that may stay, when the smallest ones stay first.
    fn largest_kept(self, mut tables: Vec<usize>) -> usize {
        tables.sort_unstable();
        let mut sum = 0usize;
        let mut largest = self.small_bytes;
        for table in tables {
            sum = sum.saturating_add(table);
            if sum > self.bytes {
                break;
            }
            largest = largest.max(table);
        }
        largest
    }
}

/// What a table of these rows takes at most; `usize::MAX` where there is no bound.
fn table_bytes(side: &Arc<dyn ExecutionPlan>) -> Result<usize> {
    let Some(rows) = most_rows(side)? else {
        return Ok(usize::MAX);
    };
    let statistics = StatisticsContext::new().compute(side.as_ref(), &StatisticsArgs::new())?;
    let known = statistics.total_byte_size.get_value().copied();
    let content = known
        .unwrap_or(0)
        .max(rows.saturating_mul(row_bytes(&side.schema())));
    Ok(content
        .saturating_add(rows.saturating_mul(HASH_ROW_BYTES))
        .max(1))
}

/// How many rows a plan has at most, if that can be told: files know their rows, and nothing but a
/// join makes more of them.
fn most_rows(plan: &Arc<dyn ExecutionPlan>) -> Result<Option<usize>> {
    let children = plan.children();
    if children.is_empty() {
        let statistics = StatisticsContext::new().compute(plan.as_ref(), &StatisticsArgs::new())?;
        return Ok(statistics.num_rows.get_value().copied());
    }
    let kept = match plan
        .downcast_ref::<HashJoinExec>()
        .map(HashJoinExec::join_type)
    {
        None => children,
        Some(JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark) => {
            children.into_iter().take(1).collect()
        }
        Some(JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark) => {
            children.into_iter().skip(1).collect()
        }
        Some(_) => return Ok(None),
    };
    if plan.is::<CrossJoinExec>() || plan.is::<NestedLoopJoinExec>() {
        return Ok(None);
    }
    let mut sum = 0usize;
    for child in kept {
        match most_rows(child)? {
            Some(rows) => sum = sum.saturating_add(rows),
            None => return Ok(None),
        }
    }
    Ok(Some(sum))
}

fn row_bytes(schema: &Schema) -> usize {
    let width = |kind: &DataType| kind.primitive_width().unwrap_or(TEXT_BYTES);
    schema
        .fields()
        .iter()
        .map(|field| width(field.data_type()))
        .sum()
}

/// The same join, sorting. The side that was to be the table becomes the one that is buffered.
fn sort_merge(join: &HashJoinExec) -> Result<Arc<dyn ExecutionPlan>> {
    let is_swapped = *join.join_type() == JoinType::Inner;
    let first = if is_swapped {
        JoinSide::Right
    } else {
        JoinSide::Left
    };
    let filter = join
        .filter()
        .map(|filter| with_first(filter, first))
        .transpose()?;
    let merge = SortMergeJoinExec::try_new(
        Arc::clone(join.left()),
        Arc::clone(join.right()),
        join.on().to_vec(),
        filter,
        *join.join_type(),
        vec![SortOptions::default(); join.on().len()],
        join.null_equality(),
    )?;
    let merge: Arc<dyn ExecutionPlan> = if is_swapped {
        merge.swap_inputs()?
    } else {
        Arc::new(merge)
    };
    let Some(projection) = join.projection.as_deref() else {
        return Ok(merge);
    };
    let schema = merge.schema();
    let columns = projection.iter().map(|&index| {
        let name = schema.field(index).name();
        ProjectionExpr::new(Arc::new(Column::new(name, index)), name.clone())
    });
    Ok(Arc::new(ProjectionExec::try_new(columns, merge)?))
}

/// The same filter with the columns of one side before those of the other. A sort-merge join takes
/// those of its left side for the first ones, whatever the filter says; joins that have changed
/// sides before break that.
fn with_first(filter: &JoinFilter, first: JoinSide) -> Result<JoinFilter> {
    let mut order: Vec<usize> = (0..filter.column_indices().len()).collect();
    order.sort_by_key(|&old| filter.column_indices()[old].side != first);
    let schema = filter.schema().project(&order)?;
    let columns = order
        .iter()
        .map(|&old| filter.column_indices()[old].clone());
    let expression = Arc::clone(filter.expression()).transform_up(|node| {
        let Some(column) = node.downcast_ref::<Column>() else {
            return Ok(Transformed::no(node));
        };
        let new = order.iter().position(|&old| old == column.index());
        let new = new.ok_or_else(|| internal_datafusion_err!("a filter without its column"))?;
        let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new(column.name(), new));
        Ok(Transformed::yes(column))
    })?;
    Ok(JoinFilter::new(
        expression.data,
        columns.collect(),
        Arc::new(schema),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_tables_stay() {
        const MIB: usize = 1 << 20;
        let kept = |bytes, tables| BoundedJoins::within(bytes).largest_kept(tables);
        assert_eq!(kept(10 * MIB, vec![]), MIB);
        assert_eq!(kept(10 * MIB, vec![8 * MIB, 3 * MIB, 6 * MIB]), 6 * MIB);
        assert_eq!(kept(8 * MIB, vec![8 * MIB, 3 * MIB, 6 * MIB]), 3 * MIB);
        assert_eq!(kept(10 * MIB, vec![usize::MAX, usize::MAX]), MIB);
        assert_eq!(BoundedJoins::NONE.largest_kept(vec![1, 2]), 0);
    }
}
