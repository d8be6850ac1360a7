-- title: 服务中心周报
-- description: 各类图表的中文示例，数据为虚构。
-- grain: 每个图形元素一行
-- section: 关键指标
-- chart: figure x=指标 value=本期 previous=上期 low=下限 high=上限 p_value=p值 unit=单位
-- check: p值 between 0 and 1
select * from (values
    ('联系量', 'count', 15830, 17240, null, null, null),
    ('首次联系解决率', 'ratio', 0.7612, 0.7708, 0.7332, 0.7871, 0.617),
    ('平均处理时长', 'seconds', 435.71, 428.42, null, null, null),
    ('放弃率', 'ratio', 0.0563, 0.0392, 0.0440, 0.0718, 0.041)
) as figures (指标, 单位, 本期, 上期, 下限, 上限, p值);

-- section: 各问题类型的首次联系解决率
-- chart: bar x=问题类型 y=首次联系解决率 low=下限 high=上限 format=percent
select * from (values
    ('账单问题', 0.62, 0.58, 0.66), ('物流配送', 0.71, 0.68, 0.74), ('技术支持与故障排查', 0.55, 0.50, 0.60),
    ('退换货申请', 0.81, 0.78, 0.84), ('账户安全', 0.77, 0.73, 0.81), ('取消服务', 0.44, 0.36, 0.52)
) as topics (问题类型, 首次联系解决率, 下限, 上限);

-- section: 每月联系量
-- chart: area x=月份 y=联系量 series=渠道
select
    make_date(2025, month.value + 1, 1) as 月份,
    channels.渠道,
    cast(round(channels.base * (1 + 0.2 * sin(month.value * channels.pace))) as bigint) as 联系量
from range(0, 12) as month
cross join (values ('电话', 42000, 0.5), ('在线聊天', 26000, 0.9), ('电子邮件', 14000, 1.3)) as channels (渠道, base, pace)
order by month.value, channels.base desc;

-- section: 一周各小时的联系量
-- chart: heatmap x=小时 y=weekday value=联系量
select
    weekday.value as weekday,
    hour.value as 小时,
    cast(round(58 * exp(-power((hour.value - 13) / 4.5, 2)) * case when weekday.value > 5 then 0.4 else 1 end + 1) as bigint) as 联系量
from range(1, 8) as weekday cross join range(0, 24) as hour
order by weekday.value, hour.value;

-- section: 购买漏斗
-- chart: funnel x=步骤 y=客户数
select * from (values ('浏览商品', 5200), ('加入购物车', 2100), ('开始付款', 1400), ('完成付款', 310)) as steps (步骤, 客户数);

-- section: 重复联系的帕累托图
-- chart: pareto x=问题类型 y=重复联系量
select * from (values
    ('技术支持', 520), ('账单问题', 420), ('物流配送', 310), ('退换货', 150), ('账户安全', 90), ('取消服务', 60)
) as topics (问题类型, 重复联系量);

-- section: 没有数据的图表
-- chart: line x=月份 y=联系量
select date '2025-01-01' as 月份, 1 as 联系量 where false
