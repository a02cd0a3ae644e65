namespace Forengate.Guests;

/// <summary>What an attempt to get a sign of life from a guest agent came to.</summary>
internal enum AgentAnswer
{
    /// <summary>It answered.</summary>
    Answered,

    /// <summary>It was asked, the vCPUs ran, and nothing came in time.</summary>
    Silent,

    /// <summary>It could not be asked, or its silence would mean nothing: no agent, guest paused, libvirt busy.</summary>
    NotAsked,
}

/// <summary>Decides when an agent has fallen silent. Only one that has answered can.</summary>
internal sealed class AgentWatch(int misses)
{
    private int _missed;
    private bool _hasAnswered;
    private bool _told;

    /// <summary>What is to be told after an attempt; null for nothing.</summary>
    public GuestAlarmKind? Note(AgentAnswer answer)
    {
        switch (answer)
        {
            case AgentAnswer.Answered:
                var back = _told;
                (_missed, _hasAnswered, _told) = (0, true, false);
                return back ? GuestAlarmKind.AgentBack : null;
            case AgentAnswer.Silent when _hasAnswered && !_told && ++_missed >= misses:
                _told = true;
                return GuestAlarmKind.AgentSilent;
            default:
                return null;
        }
    }

    /// <summary>The guest booted anew, or the agent went in order: it has to answer once more before it can fall silent.</summary>
    public void Forget() => (_missed, _hasAnswered, _told) = (0, false, false);
}
