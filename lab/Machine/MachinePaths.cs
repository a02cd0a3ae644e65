namespace Forengate.Lab.Machine;

/// <summary>Where a machine keeps its files.</summary>
internal sealed record MachinePaths(string Directory, int MonitorCount)
{
    public string Rom => In("twin.rom");
    public string Serial => In("serial.sock");
    public string Log => In("qemu.log");
    public string PidFile => In("qemu.pid");
    public string State => In("machine.json");
    public string DomainXml => In("domain.xml");

    /// <summary>The first is <c>qmp.sock</c>, then <c>qmp2.sock</c> and so on.</summary>
    public IReadOnlyList<string> Monitors { get; } =
        [.. Enumerable.Range(1, MonitorCount).Select(i => Path.Combine(Directory, i == 1 ? "qmp.sock" : $"qmp{i}.sock"))];

    public string RamFile(string id) => In(id + ".img");

    private string In(string name) => Path.Combine(Directory, name);
}
